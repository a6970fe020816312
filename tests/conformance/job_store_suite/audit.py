"""The audit log: everything that changes is noted with the change, and one chain holds it all."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from conformance.job_store_suite.attempts import launched
from conformance.job_store_suite.changes import change
from conformance.job_store_suite.tokens import token
from support.job_samples import ManualClock, submission
from tunegate.contract.audit import FIRST, AuditEntry
from tunegate.control.audit import AuditFilter, Happening, verify
from tunegate.control.caller import Caller, act_for
from tunegate.control.records import JobState
from tunegate.control.store.protocol import JobStore

EVERYTHING = AuditFilter()
BOB = Caller(token="bob", request="r-1")


async def lines(store: JobStore, wanted: AuditFilter = EVERYTHING) -> list[bytes]:
    while (await store.seal_audit(3)).count:
        pass
    return [line for _, line in await store.read_audit(wanted, 0, 10_000)]


async def entries(store: JobStore, wanted: AuditFilter = EVERYTHING) -> list[AuditEntry]:
    return [msgspec.json.decode(line, type=AuditEntry) for line in await lines(store, wanted)]


def told(found: Sequence[AuditEntry]) -> list[tuple[str, str]]:
    return [(entry.kind, entry.by) for entry in found]


class AuditPromises:
    async def test_a_life_is_told_in_order(self, store: JobStore) -> None:
        act_for("alice", "r-7")
        job, tried = await launched(store)
        await store.claim_attempt(tried.attempt_id, "run")
        await store.claim_attempt(tried.attempt_id, "run")  # the same claim again is no news
        now = await store.get_by_uid(job.uid)
        assert now is not None
        stop = change(now, fields={"desired": "stop", "stop_reason": "cancel"})
        asked = await store.apply(stop)
        assert asked is not None
        end = change(
            asked, fields={"state": JobState.CANCELLED}, destroy_sealed=["secrets", "none"]
        )
        ended = await store.apply(end)
        assert ended is not None
        assert await store.apply(stop) is None  # a guard that failed is no news either
        assert await store.forget("acme", job.job_id)
        found = await entries(store)
        assert [entry.kind for entry in found] == [
            "job.submitted",
            "job.pending",
            "attempt.claimed",
            "job.stop_asked",
            "job.cancelled",
            "secrets.destroyed",
            "job.forgotten",
        ]
        assert {(e.tenant, e.job, e.uid) for e in found} == {("acme", job.job_id, job.uid)}
        assert {(e.by, e.request) for e in found[1:]} == {("alice", "r-7")}
        assert found[5].data == {"fields": "secrets"}

    @pytest.mark.parametrize("most", [None, 5])
    async def test_a_submission_says_who_asked(self, store: JobStore, most: int | None) -> None:
        sent = msgspec.structs.replace(submission(), caller=BOB, max_jobs=most)
        await store.create_job(sent)
        again = msgspec.structs.replace(
            submission(), job=msgspec.structs.replace(sent.job, uid="other"), caller=BOB
        )
        assert not (await store.create_job(again)).created
        found = await entries(store)
        assert told(found) == [("job.submitted", "bob")]
        assert found[0].request == "r-1"

    async def test_tokens_are_told(self, store: JobStore) -> None:
        await store.add_token(token("one"))
        await store.end_token("one", 1_800_000_000_000)
        await store.end_token("one", None)
        await store.end_token("none", None)
        found = await entries(store)
        assert [e.kind for e in found] == ["token.made", "token.limited", "token.revoked"]
        assert {e.data["token"] for e in found} == {"one"}

    async def test_the_chain_holds_and_has_one_head(self, store: JobStore) -> None:
        await asyncio.gather(
            *(store.create_job(submission(f"job-{n}")) for n in range(30)),
            *(store.seal_audit(4) for _ in range(10)),
            store.note_audit([Happening(kind="gateway.started", data={"version": "1"})]),
        )
        whole = await lines(store)
        head = await store.audit_head()
        assert len(whole) == 31
        assert msgspec.json.decode(whole[0])["previous"] == FIRST
        assert verify(whole, head) == []
        assert verify(whole, anchor=msgspec.json.decode(whole[20])["previous"]) == []
        for forged in (
            whole[:12] + whole[13:],  # one removed
            whole[:-1],  # the last one removed
            whole[1:],  # the first one removed
            [*whole[:5], whole[6], whole[5], *whole[7:]],  # two swapped
            [*whole[:5], whole[5].replace(b"job-", b"jab-"), *whole[6:]],  # one changed
            [*whole[:-1], whole[-1].replace(b'"at"', b'"at":"","_"')],  # the last one changed
            [*whole[:5], b"{}", *whole[6:]],
        ):
            assert verify(forged, head) != []

    async def test_lists_filter_and_page(self, store: JobStore, clock: ManualClock) -> None:
        start_ms = clock.time_ms
        await store.create_job(submission())
        clock.time_ms += 1000
        await store.add_token(token("one", "other"))
        await store.end_token("one", None)
        for wanted, kinds in (
            (AuditFilter(tenant="acme"), ["job.submitted"]),
            (AuditFilter(kind="token."), ["token.made", "token.revoked"]),
            (AuditFilter(kind="token.made"), ["token.made"]),
            (AuditFilter(since_ms=start_ms + 1), ["token.made", "token.revoked"]),
            (AuditFilter(until_ms=start_ms + 1), ["job.submitted"]),
        ):
            assert [e.kind for e in await entries(store, wanted)] == kinds
        [(number, _)] = await store.read_audit(EVERYTHING, 1, 1)
        assert number == 2

    async def test_what_was_trimmed_is_vouched_for(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        for number in range(6):
            await store.create_job(submission(f"job-{number}"))
            await lines(store)
            clock.time_ms += 1000
        before = await lines(store)
        assert await store.trim_audit(clock.time_ms - 3500, 2) == 2
        assert await store.trim_audit(clock.time_ms - 3500, 10) == 1
        assert await store.trim_audit(clock.time_ms - 3500, 10) == 0
        await store.create_job(submission("later"))
        after = await lines(store)
        assert [msgspec.json.decode(line)["sequence"] for line in after] == list(range(4, 10))
        assert after[:3] == before[3:]
        assert verify(after, await store.audit_head()) == []
        assert verify(after, anchor=msgspec.json.decode(before[-1])["previous"]) == []
        assert verify(after[1:]) != []  # more was cut than is vouched for

    async def test_the_newest_entry_is_never_trimmed(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await store.create_job(submission())
        await lines(store)
        clock.time_ms += 10**9
        assert await store.trim_audit(clock.time_ms, 10) == 0
