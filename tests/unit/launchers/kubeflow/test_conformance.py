"""TrainJobs, held to what every launcher must do."""

import pytest

from tunegate.sdk.launcher import Launcher
from tunegate.sdk.testing.launcher import STUBBORN, LauncherConformance, MakeLauncher


class TestKubeflow(LauncherConformance):
    @pytest.fixture
    def make_launcher(self, make_kubeflow: MakeLauncher) -> MakeLauncher:
        return make_kubeflow

    async def test_it_is_there_while_it_has_pods(self, launcher: Launcher) -> None:
        """Its TrainJob and record go before them."""
        run = self.run(STUBBORN)
        await launcher.submit(run)
        await self.until_said(launcher, run.name, "begun")
        await launcher.cleanup(run.name)
        assert run.name in await launcher.list_runs()
        await self.eventually(launcher, lambda _, names: run.name not in names)
