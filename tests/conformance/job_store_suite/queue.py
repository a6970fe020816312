"""The gateway's own queue: who is launched next, and how many may wait in an engine."""

import msgspec
import pytest

from conformance.job_store_suite.changes import change, queued
from support.job_samples import ManualClock, submission
from tunegate.control.records import JobRecord, JobState
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.errors import TunegateError


class QueuePromises:
    async def test_an_engine_gets_no_more_than_it_has_room_for(self, store: JobStore) -> None:
        for number in range(5):
            await queued(store, f"job-{number}")
        await queued(store, "elsewhere", launcher="slurm")
        room = {"local": 2, "slurm": 1}
        first = await store.lease_due("me", 10, 1000, room)
        assert [job.job_id for job in first] == ["job-0", "job-1", "elsewhere"]
        assert await store.lease_due("you", 10, 1000, room) == []
        for state in (JobState.LAUNCHING, JobState.PENDING):
            first[0] = await self._moved(store, first[0], state)
            assert await store.lease_due("you", 10, 1000, room) == []
        await self._moved(store, first[0], JobState.STARTING)
        assert [j.job_id for j in await store.lease_due("you", 10, 1000, room)] == ["job-2"]

    async def test_a_launcher_without_room_keeps_nobody_else_waiting(self, store: JobStore) -> None:
        await queued(store, "stuck")
        running = await queued(store, "running")
        [_, leased] = await store.lease_due("me", 10, 0)
        assert leased.uid == running.uid
        await self._moved(store, leased, JobState.RUNNING)
        assert [job.job_id for job in await store.lease_due("me", 10, 1000, {})] == ["running"]

    async def test_jobs_on_their_way_come_before_those_that_wait(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        running = await queued(store, "running")
        await queued(store, "waiting", due_ms=clock.time_ms - 1000)
        await self._moved(store, running, JobState.RUNNING)
        [leased] = await store.lease_due("me", 1, 1000, {"local": 5})
        assert leased.job_id == "running"

    async def test_a_stopped_job_leaves_the_queue(self, store: JobStore) -> None:
        job = await queued(store)
        assert await store.apply(change(job, fields={"desired": "stop", "stop_reason": "cancel"}))
        assert await store.queue_position(job.uid) is None
        assert len(await store.lease_due("me", 1, 1000, {})) == 1

    async def test_position(self, store: JobStore, clock: ManualClock) -> None:
        first = await queued(store, "first")
        second = await queued(store, "second")
        third = await queued(store, "third", due_ms=clock.time_ms + 1)
        await queued(store, "elsewhere", launcher="slurm")
        found = [await store.queue_position(job.uid) for job in (first, second, third)]
        assert found == [0, 1, 2]
        await self._moved(store, first, JobState.LAUNCHING)
        found = [await store.queue_position(job.uid) for job in (first, second, third)]
        assert found == [None, 0, 1]
        assert await store.queue_position("nobody") is None

    async def test_a_retried_job_goes_to_the_end(self, store: JobStore, clock: ManualClock) -> None:
        old = await queued(store, "old")
        ended = await self._moved(store, old, JobState.FAILED)
        await queued(store, "new")
        fields = {"state": JobState.QUEUED, "desired": "run", "due_ms": clock.time_ms + 1}
        assert await store.apply(change(ended, fields=fields))
        assert await store.queue_position(old.uid) == 1

    async def _moved(self, store: JobStore, job: JobRecord, state: JobState) -> JobRecord:
        after = await store.apply(change(job, fields={"state": state}))
        assert after is not None
        return after

    async def test_tenants_take_turns(self, store: JobStore, clock: ManualClock) -> None:
        for number in range(4):
            await queued(store, f"flood-{number}")
        for number in range(2):
            await queued(store, f"late-{number}", tenant="late", due_ms=clock.time_ms - number)
        leased = await store.lease_due("me", 4, 1000, {"local": 9})
        by_tenant = [sum(job.tenant == name for job in leased) for name in ("acme", "late")]
        assert by_tenant == [2, 2]
        again = await store.lease_due("me", 4, 1000, {"local": 9})
        assert {job.job_id for job in again} == {"flood-2", "flood-3"}

    async def test_a_tenants_gpus_are_limited_across_engines(self, store: JobStore) -> None:
        await queued(store, "first", gpus=3, gpu_limit=4)
        await queued(store, "second", gpus=2, gpu_limit=4, launcher="slurm")
        await queued(store, "other", gpus=2, tenant="other")
        room = {"local": 9, "slurm": 9}
        leased = await store.lease_due("me", 9, 1000, room)
        assert {job.job_id for job in leased} == {"first", "other"}
        assert (await store.held_by("acme")).gpus == 3
        [first] = [job for job in leased if job.job_id == "first"]
        first = await self._moved(store, first, JobState.RUNNING)
        assert await store.lease_due("you", 9, 0, room) == []
        await self._moved(store, first, JobState.FAILED)
        assert (await store.held_by("acme")).gpus == 0
        leased = await store.lease_due("you", 9, 1000, room)
        assert "second" in {job.job_id for job in leased}

    async def test_place_among_tenants(self, store: JobStore) -> None:
        mine = [await queued(store, f"mine-{number}") for number in range(3)]
        for number in range(9):
            await queued(store, f"theirs-{number}", tenant="other")
        found = [await store.queue_position(job.uid) for job in mine]
        assert found == [1, 3, 5]

    async def test_unfinished_jobs_are_limited_when_asked(self, store: JobStore) -> None:
        await queued(store, "one")
        two = msgspec.structs.replace(submission("two"), max_jobs=1)
        with pytest.raises(TunegateError, match="too_many_jobs"):
            await store.create_job(two)
        again = msgspec.structs.replace(submission("one"), max_jobs=1)
        assert (await store.create_job(again)).created is False
        assert await store.unfinished_jobs("acme") == 1
        one = await store.get_job("acme", "one")
        assert one is not None
        await self._moved(store, one, JobState.FAILED)
        assert (await store.create_job(two)).created is True
