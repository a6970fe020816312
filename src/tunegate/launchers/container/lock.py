"""Gateways of one host that share a state folder take turns with its engine."""

import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable

WAIT_S = 10.0
_FIRST_S, _LONGEST_S = 0.01, 0.5


class HostLock:
    """A lock file, which is free again when its holder dies. No thread waits for it, so nobody holds it who was cancelled."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[None]:
        """Raises EngineUnavailable when the folder can't be used, or another gateway does not let go."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EngineUnavailable(f"The state folder can't be used: {error.strerror}") from error
        try:
            await self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    async def _lock(self, descriptor: int) -> None:
        give_up_s, pause_s = self._clock.monotonic_s() + WAIT_S, _FIRST_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if self._clock.monotonic_s() > give_up_s:
                    words = "Another gateway of this host is busy with the engine."
                    raise EngineUnavailable(words) from None
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_S)
