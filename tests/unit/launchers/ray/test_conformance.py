"""Jobs of a Ray cluster, held to what every launcher must do."""

import pytest

from tunegate.contract.container import ResourceRequest
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher


class TestRay(LauncherConformance):
    small = ResourceRequest(gpus=0, cpus=1, memory_bytes=2**20)
    whole = ResourceRequest(gpus=0, cpus=4, memory_bytes=2**20)

    @pytest.fixture
    def make_launcher(self, make_ray: MakeLauncher) -> MakeLauncher:
        return make_ray
