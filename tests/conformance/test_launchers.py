from pathlib import Path

import pytest

from tunegate.launchers.local import LocalLauncher
from tunegate.launchers.local.settings import LocalSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher


class TestLocalLauncher(LauncherConformance):
    @pytest.fixture
    def make_launcher(self, tmp_path: Path) -> MakeLauncher:
        context = LauncherContext(state_dir=str(tmp_path / "state"), clock=SystemClock())
        settings = LocalSettings(gpus=0, cpus=4, memory_gb=4)
        return lambda: LocalLauncher(settings, context)
