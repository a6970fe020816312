"""One started program: a task in the place of a process."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

Files = Mapping[str, bytes]
Program = Callable[[Files, "Process"], Coroutine[Any, Any, int]]
KILLED = 137


class Process:
    """Begins at once, and outlives whoever asked for it."""

    def __init__(self, program: Program, files: Files) -> None:
        self.asked = asyncio.Event()
        """SIGTERM came."""
        self.lost = False
        """Its node went, and it with it."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(program(files, self), context=contextvars.Context())

    @property
    def is_over(self) -> bool:
        return self._task.done()

    def term(self) -> None:
        self.asked.set()

    def kill(self) -> None:
        self._task.cancel()

    def lose(self) -> None:
        self.lost = True
        self.kill()

    async def wait(self) -> int:
        """Its exit code, as a shell has it."""
        await asyncio.wait([self._task])
        return KILLED if self._task.cancelled() else self._task.result()
