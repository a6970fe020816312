"""`Turns`: how much of something dear one tenant may have under way, so that it slows down neither others nor the gateway."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tunegate.sdk.errors import TunegateError

RETRY_AFTER_S = 1.0


@dataclass(slots=True)
class _Line:
    turn: asyncio.Semaphore
    inside: int = 0


class Turns:
    """`at_once` per tenant, and `waiting` more that wait for them in order."""

    def __init__(self, at_once: int = 4, waiting: int = 12) -> None:
        self._at_once = at_once
        self._waiting = waiting
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def take(self, tenant: str) -> AsyncGenerator[None]:
        """One turn, as long as the block. Raises `unavailable` when too many wait."""
        line = self._lines.setdefault(tenant, _Line(asyncio.Semaphore(self._at_once)))
        if line.inside >= self._at_once + self._waiting:
            raise TunegateError(
                "unavailable",
                "Too many of these requests are under way for this token.",
                retry_after_s=RETRY_AFTER_S,
            )
        line.inside += 1
        try:
            async with line.turn:
                yield
        finally:
            line.inside -= 1
            if not line.inside:
                del self._lines[tenant]
