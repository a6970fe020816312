"""A cluster in memory whose jobs are real processes."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from support.ray.processes import Processes
from support.ray.server import RayApi
from tunegate.launchers.ray import RayLauncher
from tunegate.launchers.ray.settings import RaySettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext

MakeRay = Callable[..., RayLauncher]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RayApi]:
    async with RayApi(Processes(tmp_path / "jobs")) as api:
        yield api


@pytest.fixture
async def make_ray(cluster: RayApi) -> AsyncIterator[MakeRay]:
    made: list[RayLauncher] = []

    def make(**more: object) -> RayLauncher:
        settings = RaySettings(**{"address": cluster.url, **more})
        made.append(RayLauncher(settings, LauncherContext(state_dir="", clock=SystemClock())))
        return made[-1]

    yield make
    for launcher in made:
        await launcher.close()
