"""Jobs of a real cluster, held to what every launcher must do, with the rights of deploy/kubernetes/rbac.yaml."""

import os
import uuid
from pathlib import Path

import msgspec
import pytest

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.launchers.kubernetes import KubernetesLauncher
from tunegate.launchers.kubernetes.settings import KubernetesSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher

from .conftest import IMAGE, NAMESPACE

pytestmark = pytest.mark.engine
MEMORY = 64 * 2**20


class TestKubernetes(LauncherConformance):
    deadline_s = 90.0
    small = ResourceRequest(gpus=0, cpus=1, memory_bytes=MEMORY)
    whole = ResourceRequest(gpus=0, cpus=2, memory_bytes=MEMORY)

    @pytest.fixture
    def tmp_path(self, shared: Path) -> Path:
        """Below the folder that pods see at the same place."""
        folder = shared / uuid.uuid4().hex[:8]
        folder.mkdir()
        folder.chmod(0o777)
        return folder

    @pytest.fixture
    def make_launcher(
        self, kubeconfig: str, shared: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> MakeLauncher:
        settings = KubernetesSettings(
            namespace=NAMESPACE,
            kubeconfig=kubeconfig,
            instance=f"c{uuid.uuid4().hex[:8]}",
            cache_claim="shared",
            cache_folder=str(shared),
        )
        state = str(tmp_path_factory.mktemp("state"))
        context = LauncherContext(state_dir=state, clock=SystemClock())
        return lambda: KubernetesLauncher(settings, context)

    def container(self, program: str, resources: ResourceRequest) -> ContainerSpec:
        spec = super().container(program, resources)
        return msgspec.structs.replace(spec, image=os.environ[IMAGE])
