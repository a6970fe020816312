"""Retention: what is old and settled goes in small steps; what is unfinished, or has somebody to tell, stays."""

from typing import Any, Literal

import pytest

from conformance.job_store_suite.attempts import launched, note
from conformance.job_store_suite.audit import entries
from conformance.job_store_suite.changes import change
from conformance.job_store_suite.tokens import token
from support.job_samples import ManualClock, event, submission
from tunegate.control.records import JobRecord, JobState
from tunegate.control.store.protocol import JobStore

MINUTE_MS = 60_000
OF_JOBS: tuple[Literal["jobs", "events", "deliveries"], ...] = ("jobs", "events", "deliveries")


async def finished(store: JobStore, job_id: str = "job-1", *, told: bool = True) -> JobRecord:
    """A job that ended, with three events, and nothing left to do but perhaps its webhook."""
    job = (await store.create_job(submission(job_id))).job
    for _ in await store.lease_deliveries("me", 100, 1000) if told else ():
        await store.delivered(f"{job.uid}-webhook-1")
    ended = change(
        job,
        fields={"state": JobState.CANCELLED},
        events=[event("one"), event("two", status="cancelled")],
        destroy_sealed=["secrets"],
    )
    after = await store.apply(ended)
    assert after is not None
    return after


class RetentionPromises:
    async def test_old_jobs_go_in_small_steps(self, store: JobStore, clock: ManualClock) -> None:
        for number in range(3):
            await finished(store, f"job-{number}")
            clock.time_ms += MINUTE_MS
        before_ms = clock.time_ms - MINUTE_MS
        assert await store.expire("jobs", before_ms, 1) == ["uid-job-0"]
        assert await store.expire("jobs", before_ms, 5) == ["uid-job-1"]
        assert await store.expire("jobs", before_ms, 5) == []
        assert await store.get_by_uid("uid-job-0") is None
        assert await store.get_by_uid("uid-job-2") is not None
        told = [e.job for e in await entries(store) if e.kind == "job.expired"]
        assert told == ["job-0", "job-1"]

    @pytest.mark.parametrize("what", OF_JOBS)
    async def test_what_has_something_left_to_do_is_not_touched(
        self, store: JobStore, clock: ManualClock, what: Any
    ) -> None:
        await finished(store, "untold", told=False)  # a webhook waits
        job, _ = await launched(store)  # it runs
        ended = await store.apply(change(job, fields={"state": JobState.FAILED}))
        assert ended is not None  # its engine object and secrets are still there
        clock.time_ms += 1000 * MINUTE_MS
        assert await store.expire(what, clock.time_ms, 10) == []
        assert len(await store.read_events("uid-untold", 0, 10)) == 3

    async def test_a_retried_job_counts_anew(self, store: JobStore, clock: ManualClock) -> None:
        job = await finished(store)
        again = change(job, fields={"state": JobState.QUEUED, "desired": "run"}, events=[event()])
        assert await store.apply(again)
        clock.time_ms += MINUTE_MS
        assert await store.expire("jobs", clock.time_ms, 10) == []

    async def test_events_go_and_the_last_one_stays(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job, tried = await launched(store)
        await store.claim_attempt(tried.attempt_id, "run")
        await store.add_trainer_events(tried.attempt_id, "run", [note(1), note(2)])
        now = await store.get_by_uid(job.uid)
        assert now is not None
        for row in await store.lease_deliveries("me", 10, 1000):
            await store.delivered(row.delivery_id)
        ended = change(
            now,
            fields={"state": JobState.FAILED},
            events=[event("last", status="failed")],
            attempt_number=1,
            attempt_fields={"ended_ms": clock.time_ms, "cleaned": True},
            destroy_sealed=["secrets"],
        )
        assert await store.apply(ended)
        clock.time_ms += MINUTE_MS
        assert await store.expire("events", clock.time_ms, 10) == [job.uid]
        assert await store.expire("events", clock.time_ms, 10) == []
        assert [e.detail for e in await store.read_events(job.uid, 0, 10)] == ["last"]
        assert await store.read_trainer_events(tried.attempt_id, 0, 10) == []
        assert await store.get_job("acme", "job-1") is not None

    async def test_webhooks_that_ended_go(self, store: JobStore, clock: ManualClock) -> None:
        job = await finished(store)
        clock.time_ms += MINUTE_MS
        assert await store.expire("deliveries", clock.time_ms, 10) == [job.uid]
        assert await store.expire("deliveries", clock.time_ms, 10) == []
        assert await store.read_deliveries(job.uid, 0, 10) == []
        assert len(await store.read_events(job.uid, 0, 10)) == 3

    async def test_tokens_that_ended_go(self, store: JobStore, clock: ManualClock) -> None:
        early_ms = clock.time_ms - MINUTE_MS
        await store.add_token(token("expired", expires_ms=early_ms))
        await store.add_token(token("revoked", revoked_ms=early_ms))
        await store.add_token(token("later", expires_ms=clock.time_ms + MINUTE_MS))
        await store.add_token(token("endless"))
        gone = await store.expire("tokens", clock.time_ms, 10)
        assert sorted(gone) == ["expired", "revoked"]
        kept = {each.token_id for each in await store.list_tokens(None)}
        assert kept == {"later", "endless"}

    async def test_one_gateway_at_a_time_sweeps(self, store: JobStore, clock: ManualClock) -> None:
        assert await store.take_retention_turn(MINUTE_MS)
        clock.time_ms += MINUTE_MS - 1
        assert not await store.take_retention_turn(MINUTE_MS)
        clock.time_ms += 1
        assert await store.take_retention_turn(MINUTE_MS)
