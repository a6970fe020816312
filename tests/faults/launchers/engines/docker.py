"""docker: its API in memory over a real socket, lists that are old, containers whose removal takes a while."""

import asyncio
import contextvars
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.engines.pictures import Pictures
from faults.launchers.engines.plants import usual
from faults.launchers.process import Process
from support.docker.server import Container, DockerApi, Runner
from tunegate.launchers.container import ContainerLauncher
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.sdk.launcher import LauncherContext

SAID = b"the trainer said this\n"


class Programs(Runner):
    """Containers become `Process`es."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._alive: dict[str, Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, container: Container) -> None:
        files = {path.removeprefix("files/"): content for path, content in container.files.items()}
        container.said = lambda: SAID
        process = self._alive[container.id] = Process(self._ground.program, files)
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._follow(container, process), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def signal(self, container: Container, name: str) -> None:
        process = self._alive.get(container.id)
        if process is not None:
            process.kill() if name == "SIGKILL" else process.term()

    async def close(self) -> None:
        for process in self._alive.values():
            process.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, container: Container, process: Process) -> None:
        container.exit_code = await process.wait()
        container.state = "exited"
        del self._alive[container.id]


def makes_another() -> AbstractContextManager[object]:
    """Each run is started twice, the second time where nobody looks."""
    real = Programs.start

    async def start(self: Programs, container: Container) -> None:
        await real(self, container)
        await real(
            self, Container(f"{container.name}-again", container.request, files=container.files)
        )

    return mock.patch.object(Programs, "start", start)


class DockerEngine(Engine):
    """No container and no folder is there when all is over."""

    name = "container"
    PLANTS: ClassVar[Plants] = usual(ContainerLauncher, makes_another)

    async def start(self, ground: Ground) -> None:
        self._folder = ground.folder
        self._api = DockerApi(ground.folder / "sock", Programs(ground))
        self._api.images.add("tunegate/trainer:latest")
        self._pictures = Pictures(ground.weather, self._api.now_listed)
        self._api.trouble = ground.weather.trouble
        self._api.listed = self._pictures.latest
        self._states: set[Path] = set()
        await self._api.__aenter__()
        await self._pictures.__aenter__()

    async def close(self) -> None:
        await self._pictures.__aexit__()
        await self._api.__aexit__()

    def launcher(self, context: LauncherContext) -> ContainerLauncher:
        self._states.add(Path(context.state_dir) / "containers")
        settings = ContainerSettings(
            socket=str(self._api.socket), cpus=400, memory_gb=4000, gpus=[]
        )
        return ContainerLauncher(settings, context)

    def left(self) -> list[str]:
        folders = [one.name for path in self._states if path.exists() for one in path.iterdir()]
        return [*self._api.all, *(f"folder {name}" for name in folders)]
