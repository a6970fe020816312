"""docker: its API in memory over a real socket, lists that are old, containers whose removal takes a while."""

import asyncio
import contextvars
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.process import Process
from support.docker.server import Container, DockerApi, Runner
from tunegate.launchers.container import ContainerLauncher
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.sdk.launcher import EngineUnavailable, LauncherContext, LaunchRefused

SNAPSHOT_S = 1.0
OLDEST = 20
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


def forgets_cleanup() -> AbstractContextManager[object]:
    return mock.patch.object(ContainerLauncher, "cleanup", mock.AsyncMock())


def gives_up_at_trouble() -> AbstractContextManager[object]:
    """Whatever goes wrong on the way is taken for a refusal of the run."""
    real = ContainerLauncher.submit

    async def submit(*args: Any) -> None:
        try:
            await real(*args)
        except EngineUnavailable as error:
            raise LaunchRefused(str(error)) from error

    return mock.patch.object(ContainerLauncher, "submit", submit)


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
    PLANTS: ClassVar[Plants] = {
        "left in the engine": forgets_cleanup,
        "launch_failed": gives_up_at_trouble,
        "was started": makes_another,
    }

    async def start(self, ground: Ground) -> None:
        self._ground = ground
        self._folder = ground.folder
        self._api = DockerApi(ground.folder / "sock", Programs(ground))
        self._api.images.add("tunegate/trainer:latest")
        self._api.trouble = self._trouble
        self._api.listed = self._listed
        self._lists: list[list[dict[str, Any]]] = []
        self._states: set[Path] = set()
        await self._api.__aenter__()
        self._photographer = asyncio.create_task(self._photograph())

    async def close(self) -> None:
        self._photographer.cancel()
        await asyncio.gather(self._photographer, return_exceptions=True)
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

    def _listed(self) -> list[dict[str, Any]]:
        back = round(self._ground.weather.stale_s() / SNAPSHOT_S)
        return self._lists[-back] if 0 < back <= len(self._lists) else self._api.now_listed()

    async def _photograph(self) -> None:
        while True:
            self._lists = [*self._lists[-OLDEST:], self._api.now_listed()]
            await asyncio.sleep(SNAPSHOT_S)

    async def _trouble(self, _method: str, _path: str) -> str | int | None:
        strike = await self._ground.weather.strike()
        words = {"fine": None, "refused": strike.status, "cut": "cut", "cut after": "cut after", "fails after": "after"}  # fmt: skip
        return words[strike.kind]
