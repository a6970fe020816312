"""The suite of all launchers, by slurmrestd of two releases, with batch scripts that bash runs."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.slurm import Slurmrestd
from support.slurm.bin import install
from tunegate.contract.container import ResourceRequest
from tunegate.launchers.slurm import SlurmLauncher
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher


class TestSlurmrestd(LauncherConformance):
    small = ResourceRequest(gpus=0, cpus=1, memory_bytes=2**20)
    whole = ResourceRequest(gpus=0, cpus=2, nodes=2, memory_bytes=2**20)

    @pytest.fixture(params=[38, 41])
    async def slurmrestd(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncIterator[Slurmrestd]:
        async with Slurmrestd(tmp_path / "spool", version=request.param) as running:
            yield running

    @pytest.fixture
    def make_launcher(self, slurmrestd: Slurmrestd, tmp_path: Path) -> MakeLauncher:
        settings = SlurmSettings(
            shared_dir=str(tmp_path / "shared"), api="rest", rest_url=slurmrestd.url, user="trainer",
            python=sys.executable, path=f"{install(tmp_path / 'bin')}:/usr/bin:/bin",
        )  # fmt: skip
        context = LauncherContext(state_dir="", clock=SystemClock())
        return lambda: SlurmLauncher(settings, context)
