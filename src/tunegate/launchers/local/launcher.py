"""`LocalLauncher`: runs are processes of this machine."""

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.secret import REDACTED
from tunegate.launchers.local.command import env_names
from tunegate.launchers.local.fit import demand_of, review_container
from tunegate.launchers.local.folder import RunRecord
from tunegate.launchers.local.logs import follow_log
from tunegate.launchers.local.machine import look
from tunegate.launchers.local.runs import Runs
from tunegate.launchers.local.settings import LocalSettings
from tunegate.launchers.local.turn import Turn
from tunegate.sdk.launcher import (
    OVER,
    Capabilities,
    EngineUnavailable,
    Launcher,
    LauncherContext,
    LaunchRefused,
    NativeRequest,
    Run,
    RunStatus,
)
from tunegate.sdk.run_files import command_of, container_env, public_files, secret_files

T = TypeVar("T")
QUEUE_DEPTH = 8
"""The queue is strictly in order, so a few are enough; each is a folder on disk."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class LocalLauncher(Launcher):
    """Processes in groups of their own, each under a supervisor that outlives the gateway (Linux).

    The queue moves whenever it is looked at: `submit`, `poll` and `cancel` all start what fits.
    """

    name = "local"
    description = "Processes of the gateway's own machine"
    settings_type: ClassVar[type[msgspec.Struct]] = LocalSettings

    def __init__(self, settings: LocalSettings, context: LauncherContext) -> None:
        self._settings = settings
        self._clock = context.clock
        self._machine = look(settings, os.environ)
        path = Path(context.state_dir).resolve() / "runs"
        self._runs = Runs(path, self._machine, settings, context.clock)
        self._lock = threading.Lock()
        self._turn = Turn(path)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(gpus=len(self._machine.gpu_ids), queue_depth=QUEUE_DEPTH)

    def review(
        self,
        container: ContainerSpec,
        options: dict[str, Any],  # noqa: ARG002  it takes none
    ) -> tuple[list[Problem], list[Ignored]]:
        return review_container(container, self._machine, cpu_fallback=self._settings.cpu_fallback)

    def render(self, run: Run) -> NativeRequest:
        folder = self._runs.folder(run.name)
        body = {
            "name": run.name,
            "folder": str(folder.path),
            "argv": command_of(run, str(folder.files), self._settings.python),
            "env": env_names(container_env(run, str(folder.files)), self._settings),
            "files": sorted(public_files(run) | secret_files(run)),
            "demand": msgspec.to_builtins(demand_of(run.container.resources, self._machine)),
            "claim_token": REDACTED,
        }
        return NativeRequest(kind="process", body=body)

    async def start(self) -> None:
        await self._do(self._runs.advance)

    async def submit(self, run: Run) -> None:
        await self._do(lambda: self._submit(run))

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        def look_again() -> dict[str, RunStatus]:
            self._runs.advance()
            return self._runs.statuses(names)

        return await self._do(look_again)

    async def cancel(self, name: str, grace_s: float) -> None:
        await self._do(lambda: self._runs.stop(name, grace_s))

    async def cleanup(self, name: str) -> None:
        def remove() -> None:
            self._runs.advance()
            self._runs.remove(name)

        await self._do(remove)

    async def list_runs(self) -> list[str]:
        return await self._do(self._runs.names)

    def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        async def is_over() -> bool:
            status = (await self.poll([name]))[name]
            return status.state in OVER

        return follow_log(
            self._runs.folder(name).log, offset, self._clock, is_over if follow else None
        )

    def _submit(self, run: Run) -> None:
        if not _NAME.fullmatch(run.name):
            raise LaunchRefused("the run's name is not one of at most 63 of a-z, 0-9 and -")
        if self._runs.holds(run.name):
            return
        if self._runs.is_gone(run.name):
            raise LaunchRefused("the run was removed already")
        problems, _ = self.review(run.container, run.options)
        if problems:
            raise LaunchRefused(problems[0].message)
        folder = self._runs.folder(run.name)
        record = RunRecord(
            name=run.name,
            order=self._runs.next_order(),
            argv=command_of(run, str(folder.files), self._settings.python),
            demand=demand_of(run.container.resources, self._machine),
            env=dict(container_env(run, str(folder.files))),
            max_duration_s=run.remaining_s + run.grace_s,
            grace_s=run.grace_s,
        )
        self._runs.add(record, public_files(run) | secret_files(run))
        self._runs.advance()

    async def _do(self, work: Callable[[], T]) -> T:
        """Disk and processes are slow: one thread at a time does them, never the event loop."""

        def locked() -> T:
            with self._lock, self._turn.taken() as is_news:
                if is_news:  # so is all at the start
                    self._runs.load()
                    self._runs.advance()
                return work()

        try:
            return await asyncio.to_thread(locked)
        except OSError as error:
            raise EngineUnavailable(f"the state folder can't be used: {error.strerror}") from error
