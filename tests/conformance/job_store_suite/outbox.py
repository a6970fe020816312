"""The outbox: strict order per job and channel, one in flight, nothing lost."""

import asyncio

from conformance.job_store_suite.changes import change, queued
from support.job_samples import ManualClock, delivery, event
from tunegate.control.records import Delivery, JobRecord
from tunegate.control.store.protocol import JobStore, PutOff


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

    async def test_a_late_holder_writes_nothing(self, store: JobStore, clock: ManualClock) -> None:
        await with_three(store)
        late = await lease_webhook(store)
        clock.time_ms += 1000
        now = await lease_webhook(store)
        assert late is not None
        assert now is not None
        assert (now.delivery_id, now.epoch) == (late.delivery_id, late.epoch + 1)
        assert now.lease_until_ms == clock.time_ms + 1000
        await store.postpone(late.delivery_id, 0, "503", late.epoch)
        await store.put_off([PutOff(late.delivery_id, 0, late.epoch)])
        await store.bury(late.delivery_id, "410", late.epoch)
        assert await lease_webhook(store) is None
        await store.bury(now.delivery_id, "410", now.epoch)
        following = await lease_webhook(store)
        assert following is not None
        assert following.sequence == 2

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

    async def test_a_row_that_was_put_off_counts_no_try(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job = await with_three(store)
        first = await lease_webhook(store)
        assert first is not None
        await store.put_off([PutOff(first.delivery_id, clock.time_ms + 500)])
        assert await lease_webhook(store) is None
        clock.time_ms += 500
        again = await lease_webhook(store)
        assert again is not None
        assert (again.delivery_id, again.tries) == (first.delivery_id, 0)
        assert (await store.read_deliveries(job.uid, 0, 10))[0].tries == []

    async def test_the_history_of_each_row_is_kept(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job = await with_three(store)
        first = await lease_webhook(store)
        assert first is not None
        began_ms = clock.time_ms
        await store.postpone(first.delivery_id, began_ms + 1, "HTTP 503")
        clock.time_ms += 1
        await store.delivered(first.delivery_id)
        one, two, three = await store.read_deliveries(job.uid, 0, 10)
        assert (one.outcome, one.ended_ms) == ("delivered", began_ms + 1)
        assert one.tries == [(began_ms, "HTTP 503"), (began_ms + 1, "delivered")]
        assert (two.outcome, two.tries, two.ended_ms) == ("waiting", [], None)
        assert (three.sequence, three.final) == (3, True)
        assert await store.read_deliveries(job.uid, 1, 1) == [two]

    async def test_a_long_history_keeps_its_end(self, store: JobStore, clock: ManualClock) -> None:
        job = await with_three(store)
        for number in range(30):
            row = await lease_webhook(store)
            assert row is not None
            await store.postpone(row.delivery_id, clock.time_ms, f"try {number}")
        (kept, *_) = await store.read_deliveries(job.uid, 0, 10)
        assert [note for _, note in kept.tries] == [f"try {number}" for number in range(10, 30)]

    async def test_dead_letters_are_replayed_in_order(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job = await with_three(store)
        for outcome in ("delivered", "dead", "dead"):
            row = await lease_webhook(store)
            assert row is not None
            if outcome == "dead":
                await store.bury(row.delivery_id, "HTTP 500; given up")
            else:
                await store.delivered(row.delivery_id)
        assert await store.dead_finals(job.uid, clock.time_ms) == 1
        assert await store.dead_finals(job.uid, clock.time_ms + 1) == 0
        assert await store.replay(job.uid, None) == 2
        assert await store.dead_finals(job.uid, 0) == 0
        seen: list[tuple[int, bytes, int]] = []
        while row := await lease_webhook(store):
            seen.append((row.sequence, row.body, row.tries))
            await store.delivered(row.delivery_id)
        assert seen == [(2, b"2", 0), (3, b"3", 0)]
        assert await store.replay(job.uid, None) == 0

    async def test_a_dead_letter_that_a_newer_status_overtook_is_not_replayed_unasked(
        self, store: JobStore
    ) -> None:
        job = await with_three(store)
        first = await lease_webhook(store)
        assert first is not None
        await store.bury(first.delivery_id, "a newer status follows")
        while row := await lease_webhook(store):
            await store.delivered(row.delivery_id)
        assert await store.replay(job.uid, None) == 0
        assert await store.replay(job.uid, [first.delivery_id, "of-another-job"]) == 1
        again = await lease_webhook(store)
        assert again is not None
        assert again.body == b"{}"

    async def test_a_replay_is_of_one_job(self, store: JobStore) -> None:
        job, other = await with_three(store, "a"), await with_three(store, "b")
        while leased := await store.lease_deliveries("me", 10, 1000):
            for row in leased:
                await store.bury(row.delivery_id, "HTTP 500; given up")
        ids = [sent.delivery_id for sent in await store.read_deliveries(other.uid, 0, 10)]
        assert await store.replay(job.uid, ids) == 0
        assert await store.replay(job.uid, None) == 3
        assert await store.pending_deliveries(other.uid) == 0

    async def test_what_follows_waits_for_a_second_holder_of_what_was_delivered(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await with_three(store)
        first = await lease_webhook(store)
        clock.time_ms += 1000
        second = await lease_webhook(store)
        assert first is not None
        assert second is not None
        await store.delivered(first.delivery_id, first.epoch)
        assert await lease_webhook(store) is None
        clock.time_ms += 1000
        following = await lease_webhook(store)
        assert following is not None
        assert following.sequence == first.sequence + 1
