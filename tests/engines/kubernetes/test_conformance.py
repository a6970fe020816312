"""Jobs of a real cluster, held to what every launcher must do, with the rights of deploy/kubernetes/rbac.yaml."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.launchers.kubeflow import KubeflowLauncher
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.launchers.kubernetes import KubernetesLauncher
from tunegate.launchers.kubernetes.settings import KubernetesSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher

from .conftest import IMAGE, NAMESPACE
from .trainjobs import trainer_of

pytestmark = pytest.mark.engine
MEMORY = 64 * 2**20


class ClusterConformance(LauncherConformance):
    """A subclass names its launcher."""

    launcher_type: ClassVar[Any]
    settings_type: ClassVar[type[KubeSettings]]
    deadline_s = 90.0
    small = ResourceRequest(gpus=0, cpus=1, memory_bytes=MEMORY)
    whole = ResourceRequest(gpus=0, cpus=2, memory_bytes=MEMORY)

    @pytest.fixture(autouse=True)
    async def goodbyes(self) -> AsyncIterator[None]:
        """TLS connections end with words from both sides, for which no client waits."""
        yield
        await asyncio.sleep(0.2)

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
        settings = self.settings_type(
            namespace=NAMESPACE,
            kubeconfig=kubeconfig,
            instance=f"c{uuid.uuid4().hex[:8]}",
            cache_claim="shared",
            cache_folder=str(shared),
        )
        state = str(tmp_path_factory.mktemp("state"))
        context = LauncherContext(state_dir=state, clock=SystemClock())
        return lambda: self.launcher_type(settings, context)

    def container(self, program: str, resources: ResourceRequest) -> ContainerSpec:
        spec = super().container(program, resources)
        return msgspec.structs.replace(spec, image=os.environ[IMAGE])


class TestKubernetes(ClusterConformance):
    launcher_type, settings_type = KubernetesLauncher, KubernetesSettings


class TestKubeflow(ClusterConformance):
    launcher_type, settings_type = KubeflowLauncher, KubeflowSettings

    @pytest.fixture(autouse=True)
    async def trainer(self, admin: str) -> AsyncIterator[None]:
        client = KubeClient(KubeSettings(namespace=NAMESPACE, kubeconfig=admin))
        try:
            async with trainer_of(client, NAMESPACE):
                yield
        finally:
            await client.close()
