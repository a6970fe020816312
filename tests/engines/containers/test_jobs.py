"""Jobs through a real gateway in containers of docker and podman."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines.front import gateway_at
from engines.jobs import EngineJobs
from integration.conftest import base_model, world
from support.api import Api
from tunegate.launchers.container.client import Engine, Listed
from tunegate.launchers.container.names import INSTANCE
from tunegate.sdk.testing.s3_server import S3Server

from .conftest import IMAGE

__all__ = ("base_model", "world")
pytestmark = pytest.mark.engine
CONFIG = """\
launchers.container.socket = "{socket}"
launchers.container.network = "host"
launchers.container.pull = "never"
launchers.container.instance = "jobs"
launchers.container.shm_mb = 64
control.default_launcher = "container"
"""


class TestContainerJobs(EngineJobs):
    launcher = "container"
    several_nodes = False

    @pytest.fixture
    async def api(self, world: S3Server, socket: str, tmp_path: Path) -> AsyncIterator[Api]:
        config = CONFIG.format(socket=socket)
        image = os.environ[IMAGE]
        async with gateway_at("127.0.0.1", tmp_path, world, config, TUNEGATE_TRAINER__IMAGE=image) as client:  # fmt: skip
            yield client

    @pytest.fixture(autouse=True)
    async def look(self, socket: str) -> AsyncIterator[None]:
        self.engine = Engine(socket, 30.0)
        yield
        await self.engine.close()

    async def kill(self) -> None:
        (one,) = [one for one in await self._containers() if one.state.lower() == "running"]
        await self.engine.kill(one.name, "SIGKILL")

    async def left(self) -> list[str]:
        return [one.name for one in await self._containers()]

    async def _containers(self) -> list[Listed]:
        return await self.engine.containers(f"{INSTANCE}=jobs")
