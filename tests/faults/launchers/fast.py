"""Time that passes quickly while nobody has anything to do. Sockets and threads are real."""

import asyncio
import selectors
import time
from typing import Any

SPEED = 100.0


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Waits a hundredth as long, and says how much time has passed by that."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        began_s = time.monotonic()
        events = super().select(timeout / SPEED)
        self.skipped_s += (time.monotonic() - began_s) * (SPEED - 1)
        return events


class FastLoop(asyncio.SelectorEventLoop):
    """Busy seconds count once, idle ones a hundred times: patience costs nothing, and a slow machine breaks no time-out."""

    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)
        self._began_s = time.monotonic()
        self.slow_callback_duration = 3600.0

    def time(self) -> float:
        return time.monotonic() - self._began_s + self._waits.skipped_s


class FastClock:
    """The loop's time as an injected clock."""

    def __init__(self, loop: FastLoop) -> None:
        self._loop = loop
        self._began_s = time.time()

    def now_ms(self) -> int:
        return round((self._began_s + self._loop.time()) * 1000)

    def monotonic_s(self) -> float:
        return self._loop.time()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
