"""Lists of an engine that are as old as the weather wants."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from faults.launchers.weather import Weather

EVERY_S = 1.0
KEPT = 20
Listed = list[dict[str, Any]]


class Pictures:
    """An async context manager, which takes one a second; `latest` gives what is listed now or was a while ago."""

    def __init__(self, weather: Weather, look: Callable[[], Listed]) -> None:
        self._weather = weather
        self._look = look
        self._taken: deque[Listed] = deque(maxlen=KEPT)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._take())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def latest(self) -> Listed:
        back = round(self._weather.stale_s() / EVERY_S)
        return self._taken[-back] if 0 < back <= len(self._taken) else self._look()

    async def _take(self) -> None:
        while True:
            self._taken.append(self._look())
            await asyncio.sleep(EVERY_S)
