"""An engine in memory whose containers are real processes."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from support.docker.processes import Processes
from support.docker.server import DockerApi
from tunegate.launchers.container import ContainerLauncher
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext

MakeContainer = Callable[..., ContainerLauncher]


@pytest.fixture
async def docker(tmp_path: Path) -> AsyncIterator[DockerApi]:
    async with DockerApi(tmp_path / "engine.sock", Processes(tmp_path / "rooms")) as api:
        yield api


@pytest.fixture
async def make_container(docker: DockerApi, tmp_path: Path) -> AsyncIterator[MakeContainer]:
    made: list[ContainerLauncher] = []

    def make(**more: object) -> ContainerLauncher:
        given = {"cpus": 4, "memory_gb": 4, "gpus": [], **more}
        settings = ContainerSettings(socket=str(docker.socket), **given)
        context = LauncherContext(state_dir=str(tmp_path / "state"), clock=SystemClock())
        made.append(ContainerLauncher(settings, context))
        return made[-1]

    yield make
    for launcher in made:
        await launcher.close()
