"""The outbox: strict order per job and channel, one in flight, nothing lost."""

import asyncio

from conformance.job_store_suite.changes import change, queued
from support.job_samples import ManualClock, delivery, event
from tunegate.control.records import Delivery, JobRecord
from tunegate.control.store.protocol import JobStore


async def with_three(store: JobStore, job_id: str = "job-1") -> JobRecord:
    """Webhooks for events 1, 2, 3 and one stream row for event 2."""
    job = await queued(store, job_id)
    rows = [delivery(0, body=b"2"), delivery(1, body=b"3", final=True)]
    after = await store.apply(
        change(
            job,
            events=[event(), event()],
            deliveries=[*rows, delivery(0, channel="stream", body=b"s")],
        )
    )
    assert after is not None
    return after


async def lease_webhook(store: JobStore) -> Delivery | None:
    leased = await store.lease_deliveries("me", 10, 1000)
    return next((row for row in leased if row.channel == "webhook"), None)


class OutboxPromises:
    async def test_one_row_per_job_and_channel(self, store: JobStore) -> None:
        for job_id in ("a", "b"):
            await with_three(store, job_id)
        leased = await store.lease_deliveries("me", 10, 1000)
        assert sorted((row.job_id, row.channel, row.sequence) for row in leased) == [
            ("a", "stream", 2),
            ("a", "webhook", 1),
            ("b", "stream", 2),
            ("b", "webhook", 1),
        ]
        assert {row.tenant for row in leased} == {"acme"}
        assert await store.lease_deliveries("me", 10, 1000) == []

    async def test_racing_workers_share_without_doubles(self, store: JobStore) -> None:
        for number in range(10):
            await queued(store, f"job-{number}")
        batches = await asyncio.gather(*(store.lease_deliveries("w", 2, 1000) for _ in range(9)))
        ids = [row.delivery_id for batch in batches for row in batch]
        assert len(ids) == len(set(ids)) == 10

    async def test_delivered_rows_leave_in_order(self, store: JobStore) -> None:
        job = await with_three(store)
        seen: list[tuple[int, bytes, bool, bool]] = []
        while row := await lease_webhook(store):
            seen.append((row.sequence, row.body, row.final, row.follows_accepted))
            await store.delivered(row.delivery_id)
            await store.delivered(row.delivery_id)
        assert seen == [
            (1, b"{}", False, False),
            (2, b"2", False, True),
            (3, b"3", True, True),
        ]
        assert await store.pending_deliveries(job.uid, "webhook") == 0
        assert await store.pending_deliveries(job.uid) == 1

    async def test_a_postponed_row_holds_the_later_ones(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await with_three(store)
        first = await lease_webhook(store)
        assert first is not None
        await store.postpone(first.delivery_id, clock.time_ms + 5000, "503")
        assert await lease_webhook(store) is None
        clock.time_ms += 5000
        again = await lease_webhook(store)
        assert again is not None
        assert (again.delivery_id, again.tries) == (first.delivery_id, 1)

    async def test_a_dead_row_blocks_nobody(self, store: JobStore) -> None:
        job = await with_three(store)
        first = await lease_webhook(store)
        assert first is not None
        await store.bury(first.delivery_id, "410")
        second = await lease_webhook(store)
        assert second is not None
        assert (second.sequence, second.follows_accepted) == (2, False)
        await store.postpone(first.delivery_id, 0, "too late")
        await store.delivered(first.delivery_id)
        assert await lease_webhook(store) is None
        assert await store.pending_deliveries(job.uid, "webhook") == 2

    async def test_a_lost_worker_s_row_comes_again(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await with_three(store)
        first = await lease_webhook(store)
        clock.time_ms += 999
        assert await lease_webhook(store) is None
        clock.time_ms += 1
        again = await lease_webhook(store)
        assert first is not None
        assert again is not None
        assert (again.delivery_id, again.tries) == (first.delivery_id, 0)

    async def test_a_row_waits_for_its_time(self, store: JobStore, clock: ManualClock) -> None:
        job = await queued(store)
        row = await lease_webhook(store)
        assert row is not None
        await store.delivered(row.delivery_id)
        later = delivery(not_before_ms=clock.time_ms + 100)
        await store.apply(change(job, events=[event()], deliveries=[later]))
        assert await lease_webhook(store) is None
        clock.time_ms += 100
        assert await lease_webhook(store) is not None
