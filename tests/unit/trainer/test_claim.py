"""The claim and the delivery of events against a small gateway; time is simulated."""

import asyncio
from pathlib import Path

import pytest

from support.fake_gateway import TOKEN, FakeGateway
from tunegate.contract.attempt import NoteEvent, ProgressEvent
from tunegate.contract.secret import Secret
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.claim import claim_attempt
from tunegate.trainer.events import CROWDED, LARGEST_BATCH, EventBuffer
from tunegate.trainer.gateway import GatewayClient
from tunegate.trainer.logbook import Logbook
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.stop import StopFlag


class QuickClock:
    """Sleeping moves the time and lets others run, no more."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now_ms(self) -> int:
        return int(self.time_s * 1000)

    def monotonic_s(self) -> float:
        return self.time_s

    async def sleep(self, delay_s: float) -> None:
        self.time_s += delay_s
        await asyncio.sleep(0)


def client_of(
    gateway: FakeGateway, run_uid: str = "run-uid-1", token: str = TOKEN
) -> GatewayClient:
    return GatewayClient(gateway.ticket(), Secret(token), run_uid)


async def test_the_same_run_may_claim_again_another_may_not() -> None:
    async with FakeGateway() as gateway, client_of(gateway) as one, client_of(gateway, "run-uid-2") as two:  # fmt: skip
        assert (await claim_attempt(one, QuickClock())).fence == 7
        assert (await claim_attempt(one, QuickClock())).fence == 7
        with pytest.raises(TunegateError) as caught:
            await claim_attempt(two, QuickClock())
        assert caught.value.code == "superseded"


async def test_trouble_of_the_gateway_is_waited_for() -> None:
    async with FakeGateway() as gateway, client_of(gateway) as client:
        gateway.refusals = [503, 500, 502]
        clock = QuickClock()
        assert (await claim_attempt(client, clock)).attempt == 2
        assert 2 < clock.time_s < 5


async def test_after_a_minute_the_claim_is_given_up() -> None:
    async with FakeGateway() as gateway, client_of(gateway, token="wrong") as client:
        clock = QuickClock()
        with pytest.raises(TunegateError) as caught:
            await claim_attempt(client, clock)
        assert caught.value.code == "gateway_unreachable"
        assert "HTTP 401" in caught.value.detail
        assert 40 < clock.time_s <= 70


async def test_nobody_there() -> None:
    async with FakeGateway() as gateway:
        pass
    async with client_of(gateway) as client:
        with pytest.raises(TunegateError) as caught:
            await claim_attempt(client, QuickClock())
    assert caught.value.code == "gateway_unreachable"


async def deliver(gateway: FakeGateway, folder: Path, stop: StopFlag, count: int = 3) -> Reporter:
    async with client_of(gateway) as client:
        logbook = Logbook(folder)
        reporter = Reporter(logbook, client, stop, QuickClock())
        for number in range(count):
            reporter.note(f"note {number}")
        pump = asyncio.create_task(reporter._deliver(client))
        for _ in range(2000):
            if (reporter._buffer.empty and stop.reason == gateway.stop) or pump.done():
                break
            await asyncio.sleep(0.001)
        pump.cancel()
        logbook.close()
    return reporter


async def test_events_arrive_in_order_though_the_gateway_fails(tmp_path: Path) -> None:
    async with FakeGateway() as gateway:
        gateway.refusals = [500, 503, 429]
        await deliver(gateway, tmp_path, StopFlag(), count=LARGEST_BATCH + 20)
        texts = [event.text for event in gateway.events if isinstance(event, NoteEvent)]
        assert texts == [f"note {number}" for number in range(LARGEST_BATCH + 20)]
        assert max(len(batch.events) for batch in gateway.batches) <= LARGEST_BATCH


async def test_a_receipt_asks_for_a_stop(tmp_path: Path) -> None:
    async with FakeGateway() as gateway:
        gateway.stop, stop = "cancel", StopFlag()
        await deliver(gateway, tmp_path, stop)
        assert stop.reason == "cancel"


async def test_a_gateway_that_knows_the_run_no_more_ends_it(tmp_path: Path) -> None:
    async with FakeGateway() as gateway:
        gateway.refusals, stop = [409], StopFlag()
        stop.request("signal")
        await deliver(gateway, tmp_path, stop)
        assert stop.reason == "superseded"


async def test_silence_is_broken_by_a_heartbeat(tmp_path: Path) -> None:
    async with FakeGateway() as gateway, client_of(gateway) as client:
        logbook = Logbook(tmp_path)
        reporter = Reporter(logbook, client, StopFlag(), QuickClock())
        pump = asyncio.create_task(reporter._deliver(client))
        await asyncio.wait_for(gateway.spoken.wait(), 10)
        pump.cancel()
        logbook.close()
        assert gateway.events[0].__class__.__name__ == "HeartbeatEvent"
        assert gateway.batches[0].events[0].at_ms >= 15_000


def progress(step: int) -> ProgressEvent:
    return ProgressEvent(step=step, total_steps=9, epoch=0.0, tokens=0, tokens_per_s=0.0)


def test_a_crowded_buffer_keeps_the_newest_progress_and_all_else() -> None:
    buffer = EventBuffer()
    for number in range(CROWDED + 5):
        buffer.add(NoteEvent(text="n") if number % 2 else progress(number), number)
    seen: list[object] = []
    numbers: list[int] = []
    while batch := buffer.batch():
        seen += [one.event for one in batch]
        numbers += [one.sequence for one in batch]
        buffer.accept(batch[-1].sequence)
    assert numbers == list(range(1, len(numbers) + 1))
    notes = [event for event in seen if isinstance(event, NoteEvent)]
    kept = [event.step for event in seen if isinstance(event, ProgressEvent)]
    assert len(notes) == (CROWDED + 5) // 2
    assert kept == sorted(kept)
    assert kept[-1] == CROWDED + 4
    assert len(kept) < 10


def test_what_is_not_accepted_is_sent_again_with_its_number() -> None:
    buffer = EventBuffer()
    for text in "abc":
        buffer.add(NoteEvent(text=text), 0)
    assert [one.sequence for one in buffer.batch()] == [1, 2, 3]
    buffer.accept(1)
    buffer.add(NoteEvent(text="d"), 0)
    assert [(one.sequence, one.event.text) for one in buffer.batch()] == [(2, "b"), (3, "c"), (4, "d")]  # type: ignore[union-attr]  # fmt: skip
    buffer.accept(4)
    assert buffer.empty
