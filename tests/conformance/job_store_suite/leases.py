"""Leases: who works on a job, take-over, and the epoch that keeps the late one out."""

import asyncio

from conformance.job_store_suite.changes import change, queued
from support.job_samples import ManualClock, attempt
from tunegate.control.records import JobState
from tunegate.control.store.protocol import JobStore


class LeasePromises:
    async def test_one_holder_at_a_time(self, store: JobStore) -> None:
        await queued(store, "a")
        await queued(store, "b")
        batches = await asyncio.gather(*(store.lease_due(f"w{n}", 1, 1000) for n in range(8)))
        leased = [job for batch in batches for job in batch]
        assert sorted(job.job_id for job in leased) == ["a", "b"]
        assert {job.epoch for job in leased} == {1}

    async def test_the_longest_due_come_first(self, store: JobStore, clock: ManualClock) -> None:
        for job_id, offset_ms in (("late", -1), ("later", -2), ("not yet", 1)):
            await queued(store, job_id, due_ms=clock.time_ms + offset_ms)
        leased = await store.lease_due("me", 10, 1000)
        assert [job.job_id for job in leased] == ["later", "late"]

    async def test_take_over_after_expiry_fences_the_late_holder(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await queued(store)
        [slow] = await store.lease_due("slow", 1, 1000)
        clock.time_ms += 999
        assert await store.lease_due("fast", 1, 1000) == []
        clock.time_ms += 1
        [fast] = await store.lease_due("fast", 1, 1000)
        assert (fast.owner, fast.epoch, fast.version) == ("fast", slow.epoch + 1, slow.version)
        late = change(slow, epoch=slow.epoch, fields={"detail": "late"}, releases_lease=True)
        assert await store.apply(late) is None
        assert await store.apply(change(fast, epoch=fast.epoch, fields={"detail": "ok"}))
        held = await store.get_by_uid(fast.uid)
        assert held is not None
        assert (held.detail, held.owner) == ("ok", "fast")

    async def test_a_released_job_waits_for_its_time(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await queued(store)
        [job] = await store.lease_due("me", 1, 10_000)
        plan = {"due_ms": clock.time_ms + 5000}
        after = await store.apply(change(job, epoch=job.epoch, fields=plan, releases_lease=True))
        assert after is not None
        assert (after.owner, after.lease_until_ms) == (None, 0)
        assert await store.lease_due("me", 1, 10_000) == []
        clock.time_ms += 5000
        [again] = await store.lease_due("me", 1, 10_000)
        assert again.epoch == 2

    async def test_renewing_keeps_the_lease(self, store: JobStore, clock: ManualClock) -> None:
        await queued(store, "a")
        await queued(store, "b")
        leased = await store.lease_due("me", 2, 1000)
        clock.time_ms += 900
        kept = [job.uid for job in leased if job.job_id == "a"]
        assert await store.renew_leases("me", kept, 1000) == set(kept)
        assert await store.renew_leases("thief", [job.uid for job in leased], 9000) == set()
        clock.time_ms += 900
        assert [job.job_id for job in await store.lease_due("other", 9, 1000)] == ["b"]

    async def test_wake_makes_due_now(self, store: JobStore, clock: ManualClock) -> None:
        job = await queued(store, due_ms=clock.time_ms + 60_000)
        assert await store.lease_due("me", 1, 1000) == []
        await store.wake(job.uid)
        assert len(await store.lease_due("me", 1, 1000)) == 1

    async def test_a_wake_during_a_lease_is_not_lost(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await queued(store)
        for woken in (True, False):
            [job] = await store.lease_due("me", 1, 10_000)
            if woken:
                await store.wake(job.uid)
            plan = {"due_ms": clock.time_ms + 60_000}
            await store.apply(change(job, epoch=job.epoch, fields=plan, releases_lease=True))
        assert await store.lease_due("me", 1, 10_000) == []

    async def test_an_api_change_needs_no_lease_and_takes_none(self, store: JobStore) -> None:
        await queued(store)
        [job] = await store.lease_due("me", 1, 1000)
        after = await store.apply(change(job, fields={"desired": "stop", "stop_reason": "cancel"}))
        assert after is not None
        assert (after.owner, after.epoch) == ("me", 1)
        assert await store.apply(change(job, epoch=1, fields={"detail": "launched"})) is None
        assert await store.apply(change(after, epoch=1, fields={"detail": "stopping"}))

    async def test_a_final_job_is_due_until_it_is_tidy(self, store: JobStore) -> None:
        job = await queued(store)
        ended = await store.apply(
            change(
                job,
                fields={"state": JobState.FAILED, "attempt": 1},
                new_attempt=attempt(job),
                destroy_sealed=["secrets"],
            )
        )
        assert ended is not None
        [leased] = await store.lease_due("me", 1, 1000)
        tidy = change(
            leased,
            epoch=leased.epoch,
            attempt_number=1,
            attempt_fields={"cleaned": True},
            releases_lease=True,
        )
        assert await store.apply(tidy)
        assert await store.lease_due("me", 1, 1000) == []
        await store.wake(job.uid)
        assert await store.lease_due("me", 1, 1000) == []

    async def test_a_final_job_is_due_while_sealed_fields_remain(self, store: JobStore) -> None:
        job = await queued(store)
        await store.apply(change(job, fields={"state": JobState.CANCELLED}))
        [leased] = await store.lease_due("me", 1, 1000)
        await store.destroy_sealed(job.uid, ["secrets"])
        await store.apply(change(leased, epoch=1, releases_lease=True))
        assert await store.lease_due("me", 1, 1000) == []

    async def test_a_retried_job_is_due_again(self, store: JobStore) -> None:
        job = await queued(store)
        ended = await store.apply(
            change(job, fields={"state": JobState.FAILED}, destroy_sealed=["secrets"])
        )
        assert ended is not None
        assert await store.lease_due("me", 1, 1000) == []
        await store.apply(change(ended, fields={"state": JobState.QUEUED, "desired": "run"}))
        assert len(await store.lease_due("me", 1, 1000)) == 1
