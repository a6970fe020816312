"""A cluster in memory whose pods are real processes."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from support.kube.kubelet import Kubelet
from support.kube.server import KubeApi
from support.kube.trainjobs import TrainJobController
from tunegate.launchers.kubeflow import KubeflowLauncher
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KubeApi]:
    async with KubeApi(tmp_path) as api:
        kubelet, controller = Kubelet(api, tmp_path / "pods"), TrainJobController(api)
        yield api
        await controller.close()
        await kubelet.close()


@pytest.fixture
def make_kubeflow(cluster: KubeApi, tmp_path: Path) -> Callable[[], KubeflowLauncher]:
    settings = KubeflowSettings(namespace="default", kubeconfig=str(cluster.kubeconfig))
    context = LauncherContext(state_dir=str(tmp_path / "state"), clock=SystemClock())
    return lambda: KubeflowLauncher(settings, context)
