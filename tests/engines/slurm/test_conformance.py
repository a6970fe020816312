import sys

import pytest

from engines.slurm.conftest import NewLauncher
from tunegate.contract.container import ResourceRequest
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher

pytestmark = pytest.mark.engine
MEMORY = 64 * 2**20


class TestSlurmLauncher(LauncherConformance):
    deadline_s = 60.0
    small = ResourceRequest(gpus=0, cpus=1, memory_bytes=MEMORY)
    whole = ResourceRequest(gpus=0, cpus=4, nodes=2, memory_bytes=MEMORY)

    @pytest.fixture
    def make_launcher(self, new_launcher: NewLauncher) -> MakeLauncher:
        return lambda: new_launcher(python=sys.executable)
