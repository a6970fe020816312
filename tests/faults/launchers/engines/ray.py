"""Ray: its dashboard's API in memory over HTTP, tables that are old, jobs that take a while to leave."""

import asyncio
import contextvars
from contextlib import AbstractContextManager
from typing import Any, ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.engines.pictures import Pictures
from faults.launchers.engines.plants import usual
from faults.launchers.process import Process
from support.ray.server import Job, RayApi, Runner
from tunegate.launchers.ray import RayLauncher
from tunegate.launchers.ray.settings import RaySettings
from tunegate.sdk.launcher import LauncherContext

SAID = b"the trainer said this\n"


class Programs(Runner):
    """Jobs become `Process`es."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._alive: dict[str, Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, job: Job) -> None:
        await asyncio.sleep(self._ground.weather.between(0.1, 6))
        job.said = lambda: SAID
        process = self._alive[job.submission_id] = Process(self._ground.program, job.files)
        self._spawn(self._follow(job, process))
        if job.asked:
            process.term()

    def stop(self, job: Job, grace_s: float) -> None:
        process = self._alive.get(job.submission_id)
        if process is not None:
            process.term()
            self._spawn(self._kill(process, grace_s))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, job: Job, process: Process) -> None:
        code = await process.wait()
        job.end(job.plan["codes"]["lost"] if process.lost else code)
        if process.lost:  # the driver's own word, which no program may use
            job.driver_exit_code = job.plan["codes"]["lost"]
        del self._alive[job.submission_id]

    async def _kill(self, process: Process, in_s: float) -> None:
        await asyncio.sleep(max(0.0, in_s))
        process.kill()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def starts_twice() -> AbstractContextManager[object]:
    """Each run is started twice, the second time where nobody looks."""
    real = Programs.start

    async def start(self: Programs, job: Job) -> None:
        await real(self, job)
        await real(self, Job(f"{job.submission_id}-again", {}, plan=job.plan, files=job.files))

    return mock.patch.object(Programs, "start", start)


class RayEngine(Engine):
    """The job table is empty when all is over."""

    name = "ray"
    PLANTS: ClassVar[Plants] = usual(RayLauncher, starts_twice)

    async def start(self, ground: Ground) -> None:
        self._api = RayApi(Programs(ground))
        self._api.capacity = 1000.0
        self._pictures = Pictures(ground.weather, self._api.now_listed)
        self._api.trouble = ground.weather.trouble
        self._api.listed = self._pictures.latest
        await self._api.__aenter__()
        await self._pictures.__aenter__()

    async def close(self) -> None:
        await self._pictures.__aexit__()
        await self._api.__aexit__()

    def launcher(self, context: LauncherContext) -> RayLauncher:
        return RayLauncher(RaySettings(address=self._api.url), context)

    def left(self) -> list[str]:
        return list(self._api.jobs)
