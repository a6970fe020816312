"""Jobs through a real gateway on a real Ray of two nodes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engines.front import gateway_at
from engines.jobs import EngineJobs
from integration.conftest import base_model, world
from support.api import Api
from tunegate.launchers.ray.client import RayClient
from tunegate.launchers.ray.render import INSTANCE
from tunegate.launchers.ray.settings import RaySettings
from tunegate.sdk.testing.s3_server import S3Server

__all__ = ("base_model", "world")
pytestmark = pytest.mark.engine
CONFIG = """\
launchers.ray.address = "{address}"
launchers.ray.token_file = "{token_file}"
launchers.ray.python = "{python}"
launchers.ray.instance = "jobs"
launchers.ray.env = {{OMP_NUM_THREADS = "1"}}
control.default_launcher = "ray"
"""


class TestRayJobs(EngineJobs):
    launcher = "ray"

    @pytest.fixture
    async def api(
        self, world: S3Server, cluster: dict[str, Any], tmp_path: Path
    ) -> AsyncIterator[Api]:
        config = CONFIG.format(**cluster)
        async with gateway_at("127.0.0.1", tmp_path, world, config) as client:
            yield client

    @pytest.fixture(autouse=True)
    async def look(self, cluster: dict[str, Any]) -> AsyncIterator[None]:
        self.client = RayClient(RaySettings(**cluster))
        yield
        await self.client.close()

    async def kill(self) -> None:
        """The one process whose arguments are the trainer's."""
        pids = await asyncio.to_thread(trainers)
        assert pids
        os.kill(min(pids), signal.SIGKILL)

    async def left(self) -> list[str]:
        jobs = await self.client.jobs()
        return [str(job.submission_id) for job in jobs if job.said(INSTANCE) == "jobs"]


def trainers() -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"tunegate.trainer" in argv:
                found.append(int(entry.name))
    return found
