"""Time as a dependency, so that tests need not wait."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time in ms since 1970, a monotonic time in seconds, and sleep."""

    def now_ms(self) -> int: ...
    def monotonic_s(self) -> float: ...
    async def sleep(self, delay_s: float) -> None: ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
