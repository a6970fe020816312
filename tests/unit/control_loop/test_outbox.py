"""Deliveries on a real store, to a scripted receiver."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from support.control_world import (
    STREAM_URL,
    UID,
    Failed,
    FakeReply,
    Refused,
    Unreachable,
    World,
)
from tunegate.contract.job import JobEvent
from tunegate.control.deliveries import new_deliveries
from tunegate.control.records import JobState, NewEvent
from tunegate.control.settings import WebhookSettings
from tunegate.control.signing import Signer
from tunegate.control.store.protocol import Change

DOWN = FakeReply(503)


async def tell(world: World, state: JobState, uid: str = UID) -> None:
    """Move the job by hand, so that a webhook is due."""
    job = await world.job(uid)
    after = msgspec.structs.replace(job, state=state, updated_ms=world.clock.now_ms())
    event = NewEvent(
        type="job.status", status=after.status, phase=state.value, detail=state.value, attempt=1
    )
    change = Change(
        uid=uid,
        version=job.version,
        fields={"state": state},
        events=[event],
        deliveries=new_deliveries(after, [event], world.webhook_settings),
    )
    assert await world.sqlite.apply(change) is not None


async def deliver(world: World, seconds: float = 0.0, step_s: float = 0.5) -> None:
    """Deliver all that is due now and within so many seconds; the reconciler stands still."""
    for _ in range(round(seconds / step_s) + 1):
        while rows := await world.outbox.lease(50):
            await asyncio.gather(*(world.outbox.deliver(row) for row in rows))
        world.clock.step(step_s)


def replies(world: World, *statuses: FakeReply | Exception) -> None:
    """One answer after the other, then 200."""
    script: Iterator[Any] = iter(statuses)
    world.receiver.answer = lambda _body: next(script, FakeReply(200))


async def test_the_first_webhook_waits_a_second_for_the_receivers_own_record(world: World) -> None:
    await world.submit()
    await deliver(world, 0.4)
    assert world.receiver.posts == []
    await deliver(world, 1.0)
    assert world.receiver.statuses() == ["queued"]


async def test_statuses_leave_strictly_in_order_through_trouble(world: World) -> None:
    await world.submit()
    replies(world, DOWN, Failed("no answer"), FakeReply(200), DOWN)
    await tell(world, JobState.RUNNING)
    await tell(world, JobState.SUCCEEDED)
    await deliver(world, 20)
    assert world.receiver.statuses() == ["queued", "running", "succeeded"]
    assert await world.store.pending_deliveries(UID) == 0


async def test_a_retry_keeps_its_id_and_bytes_and_renews_its_timestamp(world: World) -> None:
    await world.submit()
    replies(world, DOWN)
    await deliver(world, 10)
    (_, first_body, first), (_, second_body, second) = world.receiver.posts
    assert first_body == second_body
    assert first["webhook-id"] == second["webhook-id"]
    assert int(first["webhook-timestamp"]) <= int(second["webhook-timestamp"])
    assert "webhook-signature" not in first


async def test_retry_after_is_honoured(world: World) -> None:
    await world.submit()
    replies(world, FakeReply(429, {"retry-after": "60"}))
    await deliver(world, 50)
    assert len(world.receiver.posts) == 1
    await deliver(world, 20)
    assert world.receiver.statuses() == ["queued"]


async def test_a_final_status_survives_days_of_trouble(world: World) -> None:
    await world.submit()
    await tell(world, JobState.FAILED)
    world.receiver.answer = lambda _body: Failed("no answer")
    await deliver(world, 2 * 86_400, step_s=300)
    assert world.receiver.statuses() == []
    world.receiver.answer = lambda _body: FakeReply(200)
    await deliver(world, 86_400, step_s=300)
    assert world.receiver.statuses()[-1] == "failed"


async def test_passing_statuses_make_room_for_newer_ones(world: World) -> None:
    await world.submit()
    await tell(world, JobState.RUNNING)
    await tell(world, JobState.FAILED)
    world.receiver.answer = lambda _body: DOWN
    await deliver(world, 600)
    world.receiver.answer = lambda _body: FakeReply(200)
    await deliver(world, 3600, step_s=10)
    assert world.receiver.statuses() == ["failed"]


async def test_a_deleted_job_is_told_no_more(world: World) -> None:
    await world.submit()
    await deliver(world, 2)
    replies(world, FakeReply(404))
    await tell(world, JobState.RUNNING)
    await deliver(world, 60)
    assert world.receiver.statuses() == ["queued"]
    assert len(world.receiver.posts) == 2
    assert (await world.job()).desired == "run"


async def test_an_unknown_job_may_still_become_known(world: World) -> None:
    await world.submit()
    replies(world, FakeReply(404))
    await deliver(world, 5)
    assert world.receiver.statuses() == ["queued"]


async def test_the_receivers_deletion_can_cancel_the_job(tmp_path: Path) -> None:
    async with world_with(tmp_path, WebhookSettings(not_found_cancels=True)) as world:
        await world.submit()
        await deliver(world, 2)
        replies(world, FakeReply(410))
        await tell(world, JobState.RUNNING)
        await deliver(world, 2)
        job = await world.job()
        assert (job.desired, job.stop_reason) == ("stop", "cancel")


async def test_a_forbidden_address_is_a_note_and_no_retry(world: World) -> None:
    await world.submit()
    await tell(world, JobState.RUNNING)
    world.receiver.answer = lambda _body: Refused("private addresses are not allowed")
    await deliver(world, 60)
    assert len(world.receiver.posts) == 2
    job = await world.job()
    assert job.notes == ["The webhook address was refused: private addresses are not allowed"]
    assert [event.type for event in await world.events("job.note")] == ["job.note"]


async def test_an_unforeseen_error_is_retried_and_its_text_is_not_kept(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.submit()
    replies(world, RuntimeError("https://studio.example/secret-path"))
    await deliver(world, 5)
    assert world.receiver.statuses() == ["queued"]
    assert "secret-path" not in caplog.text


async def test_without_callbacks_the_row_is_given_up(world: World) -> None:
    await world.submit()
    await world.store.destroy_sealed(UID, ["callbacks"])
    await deliver(world, 2)
    assert world.receiver.posts == []
    assert await world.store.pending_deliveries(UID) == 0


async def test_only_two_at_a_time_go_to_one_receiver(world: World) -> None:
    for number in range(6):
        await world.submit(job_id=f"job-{number}", uid=f"uid-{number}")
    world.clock.step(2)
    world.receiver.hold = asyncio.Event()
    rows = await world.outbox.lease(50)
    tasks = [asyncio.create_task(world.outbox.deliver(row)) for row in rows]
    for _ in range(1000):
        if world.receiver.in_flight == 2:
            break
        await asyncio.sleep(0.001)
    world.receiver.hold.set()
    await asyncio.gather(*tasks)
    assert len(world.receiver.posts) == 6
    assert world.receiver.most_in_flight == 2


async def test_signatures_verify_at_the_receiver(tmp_path: Path) -> None:
    secret = "whsec_" + "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u"
    async with world_with(tmp_path, WebhookSettings(), Signer(secret)) as world:
        await world.submit()
        await deliver(world, 2)
        _, body, headers = world.receiver.posts[0]
        moment = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        expected = Webhook(secret).sign(headers["webhook-id"], moment, body.decode())
        assert headers["webhook-signature"] == expected


class TestStreams:
    async def test_every_event_is_posted_in_order_without_the_webhooks_header(
        self, world: World
    ) -> None:
        await world.submit(has_webhook=False, has_stream=True)
        await tell(world, JobState.RUNNING)
        await deliver(world, 2)
        assert {url for url, _, _ in world.receiver.posts} == {STREAM_URL}
        events = [msgspec.json.decode(body, type=JobEvent) for body in world.receiver.accepted]
        assert [event.sequence for event in events] == [1, 2]
        assert all("authorization" not in headers for _, _, headers in world.receiver.posts)

    async def test_stale_events_are_dropped_and_the_final_one_is_not(self, world: World) -> None:
        await world.submit(has_webhook=False, has_stream=True)
        await tell(world, JobState.FAILED)
        world.receiver.answer = lambda _body: DOWN
        await deliver(world, 3600, step_s=5)
        assert await world.store.pending_deliveries(UID) == 1
        world.receiver.answer = lambda _body: FakeReply(200)
        await deliver(world, 3600, step_s=5)
        (last,) = world.receiver.accepted
        assert msgspec.json.decode(last, type=JobEvent).status == "failed"


@asynccontextmanager
async def world_with(
    path: Path, webhooks: WebhookSettings, signer: Signer | None = None
) -> AsyncIterator[World]:
    world = World(path, webhooks=webhooks, signer=signer)
    await world.sqlite.open()
    try:
        yield world
    finally:
        await world.sqlite.close()


async def test_a_receiver_that_says_410_hears_no_more(world: World) -> None:
    await world.submit()
    replies(world, FakeReply(410))
    await tell(world, JobState.RUNNING)
    await deliver(world, 2.0)
    await tell(world, JobState.FAILED)
    await deliver(world, 10.0)
    assert len(world.receiver.posts) == 1
    job = await world.job()
    assert not job.has_webhook
    assert any("answered 410" in note for note in job.notes)
    assert await world.store.pending_deliveries(UID) == 0


async def test_a_receiver_out_of_reach_is_tried_by_one_delivery_at_a_time(world: World) -> None:
    for number in range(30):
        await world.submit(uid=f"uid{number}", job_id=f"job-{number}")
    world.receiver.answer = lambda _body: Unreachable("unknown name")
    await deliver(world, 600)
    assert len(world.receiver.posts) < 30
    world.receiver.answer = lambda _body: FakeReply(200)
    await deliver(world, 300)
    told = {msgspec.json.decode(body)["job_id"] for body in world.receiver.accepted}
    assert told == {f"job-{number}" for number in range(30)}
    assert not any([await world.store.pending_deliveries(f"uid{n}") for n in range(30)])


async def test_deliveries_that_never_had_a_turn_end_too(world: World) -> None:
    for number in range(3):
        await world.submit(uid=f"uid{number}", job_id=f"job-{number}")
    world.receiver.answer = lambda _body: Unreachable("unknown name")
    days = sum(world.webhook_settings.schedule_s) / 86_400
    await deliver(world, 3 * days * 86_400, step_s=1800)
    assert not any([await world.store.pending_deliveries(f"uid{n}") for n in range(3)])


async def test_a_try_that_would_outlive_its_lease_is_not_begun(world: World) -> None:
    await world.submit()
    world.clock.step(2.0)
    rows = await world.outbox.lease(50)
    world.clock.step((rows[0].lease_until_ms - world.clock.now_ms()) / 1000 - 1.0)
    for row in rows:
        await world.outbox.deliver(row)
    assert world.receiver.posts == []
    await deliver(world, 30.0)
    assert world.receiver.statuses() == ["queued"]
