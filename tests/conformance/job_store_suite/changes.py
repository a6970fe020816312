"""`apply`: guards, numbering, absorbing final states, sealed fields, listeners."""

import asyncio
from typing import Any

import pytest

from support.job_samples import ManualClock, attempt, delivery, event, submission
from tunegate.control.records import FINAL, JobRecord, JobState
from tunegate.control.store.protocol import Change, JobFilter, JobStore


async def queued(store: JobStore, job_id: str = "job-1", **fields: Any) -> JobRecord:
    return (await store.create_job(submission(job_id, **fields))).job


def change(job: JobRecord, **parts: Any) -> Change:
    """A change guarded by the version of `job`."""
    return Change(uid=job.uid, version=job.version, **parts)


class ChangePromises:
    async def test_a_change_is_whole(self, store: JobStore, clock: ManualClock) -> None:
        job = await queued(store)
        clock.time_ms += 1234
        after = await store.apply(
            change(
                job,
                fields={"state": JobState.LAUNCHING, "attempt": 1, "notes": ["n"]},
                events=[event("launching"), event("noted", type="job.note", data={"k": [1]})],
                deliveries=[delivery(1, body=b"exact")],
                new_attempt=attempt(job),
                sealed={"fresh": b"f"},
                destroy_sealed=["secrets"],
            )
        )
        assert after is not None
        assert (after.state, after.version, after.last_sequence) == (JobState.LAUNCHING, 2, 3)
        assert (after.updated_ms, after.notes) == (clock.time_ms, ["n"])
        assert await store.get_by_uid(job.uid) == after
        assert await store.get_attempt(job.uid, 1) == attempt(job)
        events = await store.read_events(job.uid, 0, 10)
        assert [(e.sequence, e.detail) for e in events] == [
            (1, "waiting"),
            (2, "launching"),
            (3, "noted"),
        ]
        assert events[2].data == {"k": [1]}
        assert (events[0].timestamp, events[2].timestamp) == (
            "2023-11-14T22:13:20.000Z",
            "2023-11-14T22:13:21.234Z",
        )
        assert await store.pending_deliveries(job.uid, "webhook") == 2
        assert await store.get_sealed(job.uid, "fresh") == b"f"
        assert await store.get_sealed(job.uid, "secrets") is None

    async def test_a_stale_version_changes_nothing(self, store: JobStore) -> None:
        job = await queued(store)
        late = change(
            job,
            fields={"detail": "late"},
            events=[event("late")],
            deliveries=[delivery()],
            new_attempt=attempt(job),
            destroy_sealed=["secrets"],
        )
        now = await store.apply(change(job, fields={"detail": "first"}))
        assert await store.apply(late) is None
        assert await store.get_by_uid(job.uid) == now
        assert len(await store.read_events(job.uid, 0, 10)) == 1
        assert await store.pending_deliveries(job.uid) == 1
        assert await store.get_attempt(job.uid, 1) is None
        assert await store.get_sealed(job.uid, "secrets") is not None

    async def test_an_unknown_job_fails_the_guard(self, store: JobStore) -> None:
        assert await store.apply(Change(uid="nobody", version=1)) is None

    async def test_racing_changes_leave_one_gapless_log(self, store: JobStore) -> None:
        job = await queued(store)

        async def note(text: str) -> None:
            while True:
                now = await store.get_by_uid(job.uid)
                assert now is not None
                if await store.apply(change(now, events=[event(text), event(text)])):
                    return

        await asyncio.gather(*(note(str(number)) for number in range(20)))
        events = await store.read_events(job.uid, 0, 100)
        assert [e.sequence for e in events] == list(range(1, 42))
        details = [e.detail for e in events[1:]]
        assert details[::2] == details[1::2]
        assert sorted(details[::2]) == sorted(map(str, range(20)))

    async def test_events_can_be_paged_and_picked(self, store: JobStore) -> None:
        job = await queued(store)
        await store.apply(change(job, events=[event(type="job.metrics"), event(type="job.note")]))
        assert [e.sequence for e in await store.read_events(job.uid, 1, 1)] == [2]
        picked = await store.read_events(job.uid, 0, 9, ["job.note", "job.status"])
        assert [e.sequence for e in picked] == [1, 3]
        assert await store.read_events(job.uid, 0, 9, []) == []

    @pytest.mark.parametrize("final", sorted(FINAL))
    @pytest.mark.parametrize("state", sorted(set(JobState)))
    async def test_final_states_absorb(
        self, store: JobStore, final: JobState, state: JobState
    ) -> None:
        job = await queued(store, state=final)
        after = await store.apply(change(job, fields={"state": state}))
        assert (after is None) == (state != final)

    @pytest.mark.parametrize("state", sorted(set(JobState) - FINAL))
    async def test_only_a_retry_opens_a_final_job(self, store: JobStore, state: JobState) -> None:
        job = await queued(store, state=JobState.FAILED, desired="stop", stop_reason="cancel")
        retry = {"state": state, "desired": "run", "stop_reason": None}
        after = await store.apply(change(job, fields=retry))
        assert (after is not None) == (state in {JobState.QUEUED, JobState.RECOVERING})

    async def test_a_final_job_still_takes_what_is_not_its_state(self, store: JobStore) -> None:
        job = await queued(store, state=JobState.SUCCEEDED)
        after = await store.apply(change(job, fields={"detail": "tidied"}, events=[event()]))
        assert after is not None
        assert after.last_sequence == 2

    async def test_metadata_can_change(self, store: JobStore) -> None:
        job = await queued(store, metadata={"a": "1"})
        await store.apply(change(job, fields={"metadata": {"b": "2"}}))
        for pairs, found in (({"a": "1"}, 0), ({"b": "2"}, 1)):
            page, _ = await store.list_jobs("acme", JobFilter(metadata=pairs), None, 9)
            assert len(page) == found

    @pytest.mark.parametrize(
        "parts",
        [
            {"fields": {"version": 9}},
            {"fields": {"epoch": 9}},
            {"fields": {"nonsense": 1}},
            {"fields": {"detail": 5}},
            {"attempt_number": 3, "attempt_fields": {"cleaned": True}},
            {"deliveries": [delivery(0)]},
        ],
    )
    async def test_a_wrong_change_is_refused_whole(
        self, store: JobStore, parts: dict[str, Any]
    ) -> None:
        job = await queued(store)
        with pytest.raises((ValueError, TypeError)):
            await store.apply(change(job, **parts))
        assert await store.get_by_uid(job.uid) == job

    async def test_a_wrong_change_hurts_nobody_beside_it(self, store: JobStore) -> None:
        jobs = [await queued(store, f"job-{number}") for number in range(20)]
        wrong = {"fields": {"detail": "half"}, "deliveries": [delivery(7)], "events": [event()]}
        results = await asyncio.gather(
            *(
                store.apply(change(job, **(wrong if index % 2 else {"events": [event()]})))
                for index, job in enumerate(jobs)
            ),
            return_exceptions=True,
        )
        assert [isinstance(result, ValueError) for result in results] == [False, True] * 10
        for index, job in enumerate(jobs):
            assert len(await store.read_events(job.uid, 0, 9)) == (1 if index % 2 else 2)

    async def test_destroyed_fields_are_gone_alone(self, store: JobStore) -> None:
        job = await queued(store)
        await store.apply(change(job, sealed={"secrets": b"new", "b": b"2", "c": b"3"}))
        await store.destroy_sealed(job.uid, ["secrets", "c", "never there"])
        assert await store.get_sealed(job.uid, "secrets") is None
        assert await store.get_sealed(job.uid, "c") is None
        assert await store.get_sealed(job.uid, "b") == b"2"

    async def test_listeners_hear_of_every_touch(self, store: JobStore) -> None:
        heard: list[str] = []

        def broken(uid: str) -> None:
            raise RuntimeError(uid)

        stop_broken = store.on_event(broken)
        stop = store.on_event(heard.append)
        job = await queued(store)
        assert heard == [job.uid]
        await store.apply(change(job, events=[event()]))
        await store.wake(job.uid)
        assert len(heard) == 3
        await store.apply(change(job, events=[event()]))  # a failed guard
        await store.lease_due("me", 1, 1000)
        assert len(heard) == 3
        stop()
        stop_broken()
        await store.wake(job.uid)
        assert len(heard) == 3

    async def test_a_look_without_news_is_not_an_update(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job = await queued(store)
        clock.time_ms += 1000
        after = await store.apply(change(job, fields={"due_ms": clock.time_ms + 5000}))
        assert after is not None
        assert (after.updated_ms, after.due_ms) == (job.updated_ms, clock.time_ms + 5000)
