"""TrainJobs, held to what every launcher must do."""

import pytest

from support.kube.server import KubeApi
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

    async def test_it_leaves_pods_to_their_owners(
        self, cluster: KubeApi, launcher: Launcher
    ) -> None:
        """Who would replace one that went before them."""
        too_early: list[str] = []

        async def watch(method: str, path: str) -> None:
            if method == "DELETE" and "/pods/" in path:
                pods, _, name = path.rpartition("/")
                too_early.extend(
                    name
                    for pod in cluster.objects.of(pods)
                    if pod["metadata"]["name"] == name
                    and "deletionTimestamp" not in pod["metadata"]
                )

        cluster.trouble, cluster.objects.collected_after_s = watch, 0.3
        run = self.run(STUBBORN)
        await launcher.submit(run)
        await self.until_said(launcher, run.name, "begun")
        for _ in range(3):
            await launcher.cancel(run.name, 1.0)
        await launcher.cleanup(run.name)
        await self.eventually(launcher, lambda _, names: run.name not in names)
        assert too_early == []
