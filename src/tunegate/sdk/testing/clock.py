"""A clock that moves when the test says so."""

import asyncio
import heapq
from itertools import count

_YIELDS = 50
"""Turns that tasks get to run in after a sleeper woke: enough for short chains of awaits that need no thread."""


class FakeClock:
    """A `Clock` whose sleepers wake, in order, as `advance` passes their time."""

    def __init__(self, now_ms: int = 1_900_000_000_000) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._now_ms / 1000

    async def sleep(self, delay_s: float) -> None:
        """Return once `advance` has moved the time on by `delay_s`."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        wake_ms = self._now_ms + round(delay_s * 1000)
        heapq.heappush(self._sleepers, (wake_ms, next(self._numbers), future))
        await future

    def step(self, delay_s: float) -> None:
        """Move the time without letting anybody run."""
        self._now_ms += round(delay_s * 1000)

    async def advance(self, delay_s: float) -> None:
        """Move the time and wake each sleeper at its moment; tasks run in between."""
        end_ms = self._now_ms + round(delay_s * 1000)
        await _let_run()
        while self._sleepers and self._sleepers[0][0] <= end_ms:
            wake_ms, _, future = heapq.heappop(self._sleepers)
            self._now_ms = max(self._now_ms, wake_ms)
            if not future.done():
                future.set_result(None)
                await _let_run()
        self._now_ms = end_ms
        await _let_run()


async def _let_run() -> None:
    for _ in range(_YIELDS):
        await asyncio.sleep(0)
