"""Jobs, held to what every launcher must do."""

import pytest

from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher


class TestKubernetes(LauncherConformance):
    @pytest.fixture
    def make_launcher(self, make_kubernetes: MakeLauncher) -> MakeLauncher:
        return make_kubernetes
