"""Slurm: slurmrestd in memory, lists that are old, numbers that come again; bash runs the launcher's real batch scripts."""

import asyncio
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.engines.pictures import Pictures
from faults.launchers.engines.plants import usual
from faults.launchers.engines.shells import Shells
from support.slurm import Slurmrestd
from support.slurm.bin import install
from tunegate.launchers.slurm import SlurmLauncher
from tunegate.launchers.slurm import script as batch
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.launcher import LauncherContext

CPUS = 40
MIN_JOB_AGE_S = 120.0
VERSIONS = (38, 41)
NOTE = 'echo $$ >"$0.$SLURM_JOB_ID"'
"""Where scancel finds the step."""


def starts_whatever_comes() -> AbstractContextManager[object]:
    """A batch script does not ask whether another has the run already."""
    return mock.patch.object(batch, "_HEAD", batch._HEAD.replace("|| exit 78\nprintf", "\nprintf"))


class SlurmEngine(Engine):
    """No job is alive and no folder is there when all is over."""

    name = "slurm"
    PLANTS: ClassVar[Plants] = usual(SlurmLauncher, starts_whatever_comes)

    async def start(self, ground: Ground) -> None:
        self._ground = ground
        self._shared = ground.folder / "shared"
        version = VERSIONS[ground.weather.happens(0.5)]
        self._slurm = slurm = Slurmrestd(ground.folder / "spool", version=version, cpus=CPUS)
        self._pictures = Pictures(ground.weather, slurm.now_shown)
        slurm.trouble, slurm.shown = ground.weather.trouble, self._pictures.latest
        slurm.boot = self._boot
        slurm.kill_wait_s, slurm.min_job_age_s = 30.0, MIN_JOB_AGE_S
        slurm.numbers, slurm.now_s = self._number, lambda: ground.clock.now_ms() / 1000
        self._shells = shells = Shells(ground.program, self._files_of, self._lost)
        await shells.start(watch=self._watch)
        step = shells.script("$SLURM_JOB_ID", before=NOTE)
        sleep = shells.script("$SLURM_JOB_ID", "watch")
        self._bin = install(ground.folder / "bin", srun=step, sleep=sleep)
        await slurm.__aenter__()
        await self._pictures.__aenter__()

    async def close(self) -> None:
        await self._pictures.__aexit__()
        await self._slurm.__aexit__()
        await self._shells.close()

    def launcher(self, context: LauncherContext) -> SlurmLauncher:
        settings = SlurmSettings(
            shared_dir=str(self._shared), api="rest", rest_url=self._slurm.url, user="trainer",
            path=f"{self._bin}:/usr/bin:/bin",
        )  # fmt: skip
        return SlurmLauncher(settings, context)

    def left(self) -> list[str]:
        alive = [batch.name for batch in self._slurm.jobs.values() if not batch.is_over]
        folders = self._shared.iterdir() if self._shared.exists() else ()
        return [*alive, *(f"folder {path.name}" for path in folders)]

    def _files_of(self, number: str) -> Path:
        return self._slurm.jobs[int(number)].folder / "files"

    def _lost(self, number: str) -> None:
        self._slurm.fail_node(int(number), requeue=self._ground.weather.happens(0.3))

    async def _watch(self, number: str, reader: asyncio.StreamReader) -> int:
        """The batch script's `sleep` between two looks for a wish to stop lasts until there is one."""
        stop = self._slurm.jobs[int(number)].folder / "stop.json"
        while not stop.exists() and not reader.at_eof():  # noqa: ASYNC110
            await asyncio.sleep(1.0)
        return 0

    def _number(self) -> int:
        """The lowest that no listed job has."""
        return next(number for number in range(1, 10**6) if number not in self._slurm.jobs)

    async def _boot(self) -> None:
        await asyncio.sleep(self._ground.weather.between(0.1, 10))
