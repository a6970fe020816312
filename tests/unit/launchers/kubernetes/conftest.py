"""A cluster in memory whose pods are real processes."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from support.kube.jobs import JobController
from support.kube.kubelet import Kubelet
from support.kube.server import KubeApi
from tunegate.launchers.kubernetes import KubernetesLauncher
from tunegate.launchers.kubernetes.settings import KubernetesSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KubeApi]:
    async with KubeApi(tmp_path) as api:
        kubelet, controller = Kubelet(api, tmp_path / "pods"), JobController(api)
        yield api
        await controller.close()
        await kubelet.close()


@pytest.fixture
def make_kubernetes(cluster: KubeApi, tmp_path: Path) -> Callable[[], KubernetesLauncher]:
    settings = KubernetesSettings(namespace="default", kubeconfig=str(cluster.kubeconfig))
    context = LauncherContext(state_dir=str(tmp_path / "state"), clock=SystemClock())
    return lambda: KubernetesLauncher(settings, context)
