"""Virtual time: an event loop that never waits, and clocks that are wrong by a known amount."""

import asyncio
from collections.abc import Awaitable, Callable

START_MS = 1_900_000_000_000


class Deadlock(Exception):
    """Everybody waits, and nothing will ever happen."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """When nothing is ready it jumps to the next moment at which something is."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.slow_callback_duration = 3600.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            while self._scheduled and self._scheduled[0]._cancelled:  # type: ignore[attr-defined]
                asyncio.base_events.heapq.heappop(self._scheduled)._scheduled = False  # type: ignore[attr-defined]
                self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
            if not self._scheduled and not self._stopping:  # type: ignore[attr-defined]
                raise Deadlock
            if self._scheduled:  # type: ignore[attr-defined]
                self.now_s = max(self.now_s, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class SkewedClock:
    """A replica's clock: wrong by `skew_ms`; its sleepers oversleep while it is frozen."""

    def __init__(
        self, loop: VirtualLoop, skew_ms: int = 0, thaw: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._loop = loop
        self._skew_ms = skew_ms
        self._thaw = thaw

    def now_ms(self) -> int:
        return START_MS + round(self._loop.now_s * 1000) + self._skew_ms

    def monotonic_s(self) -> float:
        return self._loop.now_s

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if self._thaw is not None:
            await self._thaw()
