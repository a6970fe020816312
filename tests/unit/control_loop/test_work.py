import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tunegate.control.work import WorkLoop
from tunegate.sdk.testing.clock import FakeClock


class Desk:
    """Pieces of work in a list; `gate` keeps those in hand from ending."""

    def __init__(self, *pieces: str, slots: int = 2, **limits: Any) -> None:
        self.waiting = list(pieces)
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.clock = FakeClock()
        self.broken = False
        self.leases = 0
        self.loop: WorkLoop[str] = WorkLoop(
            name="desk",
            lease=self.lease,
            handle=self.handle,
            clock=self.clock,
            slots=slots,
            pause_s=1.0,
            **limits,
        )

    async def lease(self, limit: int) -> list[str]:
        self.leases += 1
        if self.broken:
            raise RuntimeError("the store is away")
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    async def handle(self, piece: str) -> None:
        self.begun.append(piece)
        if piece == "bad":
            raise ValueError(piece)
        await self.gate.wait()
        self.ended.append(piece)


async def until(desk: Desk, condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        await desk.clock.advance(0)
    raise AssertionError("it never happened")


async def running(desk: Desk, then: Callable[[], Awaitable[None]]) -> None:
    desk.loop.start()
    try:
        await then()
    finally:
        desk.gate.set()
        await desk.loop.stop()


async def test_work_is_done_and_more_is_taken_when_a_slot_is_free() -> None:
    desk = Desk("a", "b", "c", "d", "e")

    async def then() -> None:
        await until(desk, lambda: len(desk.ended) == 5)

    await running(desk, then)


async def test_no_more_than_the_slots_are_in_hand() -> None:
    desk = Desk("a", "b", "c")
    desk.gate.clear()

    async def then() -> None:
        await desk.clock.advance(10)
        assert desk.begun == ["a", "b"]

    await running(desk, then)


async def test_new_work_is_found_at_a_hint_or_after_the_pause() -> None:
    desk = Desk()

    async def then() -> None:
        await desk.clock.advance(0)
        desk.waiting.append("hinted")
        await desk.clock.advance(0.5)
        assert desk.ended == []
        desk.loop.hint()
        await until(desk, lambda: desk.ended == ["hinted"])
        desk.waiting.append("found")
        await desk.clock.advance(1.1)
        assert desk.ended == ["hinted", "found"]

    await running(desk, then)


async def test_an_idle_loop_does_not_spin() -> None:
    desk = Desk()

    async def then() -> None:
        await desk.clock.advance(10.5)
        assert desk.leases <= 12

    await running(desk, then)


@pytest.mark.parametrize("trouble", ["store", "piece"])
async def test_trouble_is_logged_and_the_loop_lives(
    trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(*(["bad"] if trouble == "piece" else []))
    desk.broken = trouble == "store"

    async def then() -> None:
        await desk.clock.advance(2)
        desk.broken = False
        desk.waiting.append("good")
        await desk.clock.advance(2)
        assert desk.ended == ["good"]
        assert desk.loop.is_alive

    await running(desk, then)
    assert "desk" in caplog.text


async def test_a_stop_finishes_what_is_in_hand_and_takes_nothing_new() -> None:
    desk = Desk("a")
    desk.gate.clear()
    desk.loop.start()
    await until(desk, lambda: desk.begun == ["a"])
    stopping = asyncio.create_task(desk.loop.stop())
    await desk.clock.advance(0)
    desk.waiting.append("late")
    desk.gate.set()
    await stopping
    assert desk.ended == ["a"]
    assert desk.begun == ["a"]
    assert not desk.loop.is_alive


async def test_slow_work_gives_its_slots_to_quick_work_up_to_a_limit() -> None:
    desk = Desk("a", "b", "c", "d", "e", "f", slots=2, quick_s=0.5, most=5)
    desk.gate.clear()

    async def then() -> None:
        await until(desk, lambda: desk.begun == ["a", "b"])
        await desk.clock.advance(0.4)
        assert desk.begun == ["a", "b"]
        await desk.clock.advance(1.0)
        assert desk.begun == ["a", "b", "c", "d"]
        await desk.clock.advance(5.0)
        assert desk.begun == ["a", "b", "c", "d", "e"]

    await running(desk, then)
