"""Jobs of a real Ray, held to what every launcher must do."""

import pytest

from tunegate.contract.container import ResourceRequest
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher

from .conftest import NewLauncher

pytestmark = pytest.mark.engine
MEMORY = 64 * 2**20


class TestRayLauncher(LauncherConformance):
    deadline_s = 90.0
    small = ResourceRequest(gpus=0, cpus=1, memory_bytes=MEMORY)
    whole = ResourceRequest(gpus=0, cpus=2, nodes=2, memory_bytes=MEMORY)

    @pytest.fixture
    def make_launcher(self, new_launcher: NewLauncher) -> MakeLauncher:
        return new_launcher
