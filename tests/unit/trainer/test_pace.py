"""How often to save, and when to stop before the end."""

import asyncio

import pytest

from tunegate.sdk.testing.clock import FakeClock
from tunegate.trainer.deadline import Deadline
from tunegate.trainer.pace import GOODBYE_S, SavePace, interval_s
from tunegate.trainer.stop import GRACE_S, StopFlag


@pytest.mark.parametrize(
    ("copy_s", "store_s", "expected_s"),
    [
        (0.0, 0.0, 60.0),
        (0.1, 1.0, 60.0),
        (2.0, 1.0, 200.0),
        (0.1, 12.0, 240.0),
        (30.0, 500.0, 600.0),
    ],
)
def test_the_interval_follows_the_costs(copy_s: float, store_s: float, expected_s: float) -> None:
    assert interval_s(copy_s, store_s) == pytest.approx(expected_s)


def test_due_once_the_interval_has_passed() -> None:
    pace = SavePace(now_s=100.0)
    pace.step_ended(159.0)
    assert not pace.due
    pace.step_ended(160.0)
    assert pace.due


def test_the_reserve_covers_a_step_and_two_checkpoints() -> None:
    pace = SavePace(now_s=0.0, copy_s=1.0, store_s=9.0)
    pace.step_ended(4.0)
    assert pace.reserve_s == pytest.approx(4.0 + 20.0 + GOODBYE_S)


def test_a_long_step_is_forgotten_slowly() -> None:
    pace = SavePace(now_s=0.0)
    pace.step_ended(10.0)
    pace.step_ended(11.0)
    assert pace.step_s == pytest.approx(9.5)


class Watched:
    """A deadline of so many seconds and the flag that it raises."""

    def __init__(self, budget_s: float) -> None:
        self.clock = FakeClock()
        self.stop = StopFlag(self.clock.monotonic_s)
        self.deadline = Deadline(self.stop, self.clock, budget_s)

    async def stopped_after_s(self) -> float | None:
        watching = asyncio.ensure_future(self.deadline.watch())
        began_s = self.clock.monotonic_s()
        for _ in range(2000):
            if self.stop.reason is not None:
                break
            await self.clock.advance(0.5)
        watching.cancel()
        return self.clock.monotonic_s() - began_s if self.stop.reason == "deadline" else None


async def test_a_tenth_is_kept_at_first() -> None:
    assert await Watched(100.0).stopped_after_s() == pytest.approx(90.0, abs=1.0)


async def test_slow_checkpoints_stop_a_run_earlier() -> None:
    watched = Watched(100.0)
    watched.deadline.reserve(30.0)
    assert await watched.stopped_after_s() == pytest.approx(70.0, abs=1.0)
    assert watched.stop.left_s == pytest.approx(30.0 + GRACE_S, abs=1.0)


async def test_half_of_the_time_is_for_training() -> None:
    watched = Watched(100.0)
    watched.deadline.reserve(1e6)
    assert await watched.stopped_after_s() == pytest.approx(50.0, abs=1.0)


async def test_without_limit_nothing_stops() -> None:
    assert await Watched(float("inf")).stopped_after_s() is None


def test_a_signal_leaves_the_grace() -> None:
    clock = FakeClock()
    stop = StopFlag(clock.monotonic_s)
    assert stop.left_s == float("inf")
    stop.request("signal")
    clock.step(20.0)
    stop.request("cancel")
    assert stop.left_s == pytest.approx(GRACE_S - 20.0)
    assert stop.reason == "signal"
