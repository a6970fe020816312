"""The claim fence and the trainer's events."""

import asyncio
from typing import Any

import pytest

from conformance.job_store_suite.changes import change, queued
from support.job_samples import ManualClock, attempt
from tunegate.contract.attempt import HeartbeatEvent, NoteEvent, SequencedEvent
from tunegate.control.records import AttemptRecord, JobRecord, JobState
from tunegate.control.store.protocol import JobStore


async def launched(store: JobStore, number: int = 1) -> tuple[JobRecord, AttemptRecord]:
    job = await store.get_job("acme", "job-1") or await queued(store)
    new = attempt(job, number)
    fields = {"state": JobState.PENDING, "attempt": number}
    after = await store.apply(change(job, fields=fields, new_attempt=new))
    assert after is not None
    return after, new


def note(sequence: int, text: str = "") -> SequencedEvent:
    return SequencedEvent(sequence=sequence, at_ms=1, event=NoteEvent(text=text or str(sequence)))


class AttemptPromises:
    async def test_fifty_runs_race_and_one_wins(self, store: JobStore) -> None:
        _, tried = await launched(store)
        claims = await asyncio.gather(
            *(store.claim_attempt(tried.attempt_id, f"run-{number}") for number in range(50))
        )
        [winner] = [claim for claim in claims if claim.granted]
        assert winner.attempt is not None
        assert await store.find_attempt(tried.attempt_id) == winner.attempt
        assert {claim.attempt and claim.attempt.claimed_by for claim in claims} == {
            winner.attempt.claimed_by
        }

    async def test_the_winner_may_ask_again(self, store: JobStore, clock: ManualClock) -> None:
        _, tried = await launched(store)
        first = await store.claim_attempt(tried.attempt_id, "run-a")
        claimed_ms = clock.time_ms
        clock.time_ms += 100
        again = await store.claim_attempt(tried.attempt_id, "run-a")
        assert first.granted
        assert again.granted
        assert first.attempt is not None
        assert again.attempt is not None
        assert again.attempt.fence == first.attempt.fence
        assert again.attempt.claimed_ms == claimed_ms
        assert again.attempt.last_seen_ms == clock.time_ms

    async def test_fences_grow(self, store: JobStore) -> None:
        fences: list[int] = []
        for number in (1, 2, 3):
            _, tried = await launched(store, number)
            claim = await store.claim_attempt(tried.attempt_id, "run-a")
            assert claim.attempt is not None
            assert claim.attempt.fence is not None
            fences.append(claim.attempt.fence)
        assert fences == sorted(set(fences))

    async def test_events_without_numbers_follow_one_another(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        _, tried = await launched(store)
        clock.time_ms += 100
        told = [
            store.append_trainer_events(tried.attempt_id, [NoteEvent(text=str(n))] * 2)
            for n in range(20)
        ]
        after = await asyncio.gather(*told)
        assert sorted(one.received_through for one in after if one) == list(range(2, 41, 2))
        read = await store.read_trainer_events(tried.attempt_id, 0, 100)
        assert [item.sequence for item in read] == list(range(1, 41))
        found = await store.find_attempt(tried.attempt_id)
        assert found is not None
        assert (found.claimed_by, found.last_seen_ms) == (None, clock.time_ms)

    async def test_only_a_live_attempt_takes_events_without_numbers(self, store: JobStore) -> None:
        job, tried = await launched(store)
        assert await store.append_trainer_events("nobody", [HeartbeatEvent()]) is None
        stopping = await store.apply(change(job, fields={"desired": "stop"}))
        assert stopping is not None
        assert await store.append_trainer_events(tried.attempt_id, [HeartbeatEvent()])
        await store.apply(change(stopping, attempt_number=1, attempt_fields={"ended_ms": 5}))
        assert await store.append_trainer_events(tried.attempt_id, [HeartbeatEvent()]) is None
        assert len(await store.read_trainer_events(tried.attempt_id, 0, 10)) == 1

    async def test_a_run_that_is_seen_first_and_claims_later_keeps_its_beginning(
        self, store: JobStore
    ) -> None:
        job, tried = await launched(store)
        await store.apply(change(job, attempt_number=1, attempt_fields={"claimed_ms": 5}))
        claim = await store.claim_attempt(tried.attempt_id, "run-a")
        assert claim.attempt is not None
        assert (claim.attempt.claimed_by, claim.attempt.claimed_ms) == ("run-a", 5)

    @pytest.mark.parametrize(
        "over",
        [
            {"fields": {"state": JobState.FAILED}},
            {"fields": {"desired": "stop"}},
            {"attempt_number": 1, "attempt_fields": {"ended_ms": 5}},
        ],
    )
    @pytest.mark.parametrize("claimed_before", [False, True])
    async def test_what_is_over_is_not_claimed(
        self, store: JobStore, over: dict[str, Any], claimed_before: bool
    ) -> None:
        job, tried = await launched(store)
        if claimed_before:
            assert (await store.claim_attempt(tried.attempt_id, "run-a")).granted
        await store.apply(change(job, **over))
        assert not (await store.claim_attempt(tried.attempt_id, "run-a")).granted

    async def test_a_cleaned_run_stays_on_record(self, store: JobStore) -> None:
        job, tried = await launched(store)
        cleaned = change(job, attempt_number=1, attempt_fields={"cleaned": True})
        assert await store.apply(cleaned)
        names = [tried.run_name, "tg-stranger-1"]
        assert await store.known_runs("local", names) == set()
        assert await store.runs_on_record("local", names) == {tried.run_name}
        assert await store.runs_on_record("elsewhere", names) == set()

    async def test_an_earlier_attempt_is_not_claimed(self, store: JobStore) -> None:
        _, first = await launched(store)
        await launched(store, 2)
        assert not (await store.claim_attempt(first.attempt_id, "run-a")).granted

    async def test_an_unknown_attempt_is_not_claimed(self, store: JobStore) -> None:
        claim = await store.claim_attempt("nobody", "run-a")
        assert (claim.granted, claim.job, claim.attempt) == (False, None, None)

    async def test_doubled_and_reordered_events_are_stored_once(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        _, tried = await launched(store)
        await store.claim_attempt(tried.attempt_id, "run-a")
        batches = [[2, 3], [2], [5, 1], [1, 5, 3], [7], [4, 4]]
        through: list[int] = []
        for batch in batches:
            clock.time_ms += 10
            after = await store.add_trainer_events(
                tried.attempt_id, "run-a", [note(n) for n in batch]
            )
            assert after is not None
            assert after.last_seen_ms == clock.time_ms
            through.append(after.received_through)
        assert through == [0, 0, 3, 3, 3, 5]
        stored = await store.read_trainer_events(tried.attempt_id, 0, 100)
        assert [event.sequence for event in stored] == [1, 2, 3, 4, 5, 7]
        assert await store.read_trainer_events(tried.attempt_id, 3, 1) == [note(4)]

    async def test_the_first_of_two_with_one_number_counts(self, store: JobStore) -> None:
        _, tried = await launched(store)
        await store.claim_attempt(tried.attempt_id, "run-a")
        for text in ("first", "second"):
            await store.add_trainer_events(tried.attempt_id, "run-a", [note(1, text)])
        assert await store.read_trainer_events(tried.attempt_id, 0, 9) == [note(1, "first")]

    async def test_events_of_others_are_refused(self, store: JobStore) -> None:
        _, tried = await launched(store)
        assert await store.add_trainer_events(tried.attempt_id, "run-a", [note(1)]) is None
        await store.claim_attempt(tried.attempt_id, "run-a")
        assert await store.add_trainer_events(tried.attempt_id, "run-b", [note(1)]) is None
        assert await store.add_trainer_events("nobody", "run-a", [note(1)]) is None
        assert await store.read_trainer_events(tried.attempt_id, 0, 9) == []

    async def test_claims_and_events_wake_the_job(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job, tried = await launched(store)
        beat = SequencedEvent(sequence=1, at_ms=1, event=HeartbeatEvent())
        for step in ("claim", "event"):
            later = {"due_ms": clock.time_ms + 60_000}
            now = await store.get_by_uid(job.uid)
            assert now is not None
            await store.apply(change(now, fields=later, releases_lease=True))
            if step == "claim":
                await store.claim_attempt(tried.attempt_id, "run-a")
            else:
                await store.add_trainer_events(tried.attempt_id, "run-a", [beat])
            assert len(await store.lease_due("me", 1, 1000)) == 1

    async def test_changes_and_events_keep_each_other(self, store: JobStore) -> None:
        job, tried = await launched(store)
        await store.claim_attempt(tried.attempt_id, "run-a")
        await store.add_trainer_events(tried.attempt_id, "run-a", [note(1), note(2)])
        await store.apply(change(job, attempt_number=1, attempt_fields={"folded_through": 1}))
        after = await store.add_trainer_events(tried.attempt_id, "run-a", [note(3)])
        assert after is not None
        assert (after.folded_through, after.received_through) == (1, 3)

    async def test_known_runs_are_those_not_cleaned_up(self, store: JobStore) -> None:
        _, first = await launched(store)
        job, second = await launched(store, 2)
        names = [first.run_name, second.run_name, "stranger"]
        assert await store.known_runs("local", names) == set(names[:2])
        assert await store.known_runs("slurm", names) == set()
        await store.apply(change(job, attempt_number=1, attempt_fields={"cleaned": True}))
        assert await store.known_runs("local", names) == {second.run_name}
