"""This machine: real supervisors and processes, a disk that fails, forks that fail, supervisors that are killed."""

import errno
import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.engines.plants import usual
from faults.launchers.engines.shells import Shells
from tunegate.launchers.local import LocalLauncher
from tunegate.launchers.local import folder as folders
from tunegate.launchers.local import runs as local_runs
from tunegate.launchers.local.folder import RunFolder
from tunegate.launchers.local.runs import Runs
from tunegate.launchers.local.settings import LocalSettings
from tunegate.sdk.launcher import LauncherContext

DISK_FAILS = 0.03
FORK_FAILS = 0.1


def forgets_the_lock() -> AbstractContextManager[object]:
    """A second supervisor finds no trace of the first."""
    real = Runs._spawn

    def spawn(self: Runs, folder: RunFolder, env: Any) -> bool:
        real(self, folder, env)
        for name in ("supervisor.json", "supervisor.lock"):
            (folder.path / name).unlink(missing_ok=True)
        return real(self, folder, env)

    return mock.patch.object(Runs, "_spawn", spawn)


class LocalEngine(Engine):
    """No folder and no process is there when all is over."""

    name = "local"
    PLANTS: ClassVar[Plants] = usual(LocalLauncher, forgets_the_lock)

    async def start(self, ground: Ground) -> None:
        self._ground = ground
        self._runs = ground.folder / "runs"
        self._shells = Shells(ground.program, Path, self._lost)
        await self._shells.start()
        self._python = ground.folder / "python"
        self._python.write_text(self._shells.script("$PWD"))
        self._python.chmod(0o755)
        self._trouble = ExitStack()
        self._trouble.enter_context(_failing(folders, "write_private", self._disk))
        self._trouble.enter_context(_failing(local_runs, "create_folder", self._disk))
        self._trouble.enter_context(_failing(RunFolder, "remove", self._disk))
        self._trouble.enter_context(_failing(subprocess, "run", self._fork))

    async def close(self) -> None:
        self._trouble.close()
        await self._shells.close()

    def launcher(self, context: LauncherContext) -> LocalLauncher:
        settings = LocalSettings(python=str(self._python), cpus=40, memory_gb=4000)
        return LocalLauncher(settings, context)

    def left(self) -> list[str]:
        folders = self._runs.iterdir() if self._runs.exists() else ()
        return [*self._shells.alive, *(f"folder {path.name}" for path in folders)]

    def _lost(self, files: str) -> None:
        """The kernel killed the supervisor, for want of memory."""
        with suppress(FileNotFoundError, ProcessLookupError):
            found = json.loads((Path(files).parent / "supervisor.json").read_bytes())
            os.kill(found["pid"], signal.SIGKILL)

    def _disk(self) -> OSError | None:
        number = errno.EIO if self._ground.weather.happens(0.5) else errno.ENOSPC
        return _trouble(self._ground, DISK_FAILS, number)

    def _fork(self) -> OSError | None:
        return _trouble(self._ground, FORK_FAILS, errno.EAGAIN)


def _trouble(ground: Ground, probability: float, number: int) -> OSError | None:
    if not ground.weather.happens(probability):
        return None
    ground.weather.strikes += 1
    return OSError(number, os.strerror(number))


def _failing(
    owner: Any, name: str, trouble: Callable[[], OSError | None]
) -> AbstractContextManager[object]:
    """A function that fails now and then: before it had its effect, or after."""
    real = getattr(owner, name)

    def call(*args: Any, **more: Any) -> Any:
        before, after = trouble(), trouble()
        if before is not None:
            raise before
        answer = real(*args, **more)
        if after is not None:
            raise after
        return answer

    return mock.patch.object(owner, name, call)
