"""`Engine`: what the campaign asks of an engine in memory."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from faults.launchers.process import Program
from faults.launchers.weather import Weather
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import Launcher, LauncherContext

Plants = dict[str, Callable[[], AbstractContextManager[object]]]
"""What the checker says of a launcher that is broken so, and how to break it."""


@dataclass(frozen=True)
class Ground:
    """What an engine stands on."""

    folder: Path
    weather: Weather
    clock: Clock
    program: Program

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()


class Engine(ABC):
    """Made for one world."""

    name: ClassVar[str]
    PLANTS: ClassVar[Plants] = {}
    replaces: ClassVar[bool] = False
    """It starts a run anew whose node it lost, whatever the launcher thinks of that."""

    @abstractmethod
    async def start(self, ground: Ground) -> None:
        """Serve."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def launcher(self, context: LauncherContext) -> Launcher: ...

    @abstractmethod
    def left(self) -> list[str]:
        """Everything that a run left here."""
