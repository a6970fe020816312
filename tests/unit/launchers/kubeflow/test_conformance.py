"""TrainJobs, held to what every launcher must do."""

import pytest

from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher


class TestKubeflow(LauncherConformance):
    @pytest.fixture
    def make_launcher(self, make_kubeflow: MakeLauncher) -> MakeLauncher:
        return make_kubeflow
