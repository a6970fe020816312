"""A cluster: the API server in memory over HTTP, a controller, watches that lag and names that linger."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.engines.plants import usual
from faults.launchers.engines.pods import Nodes
from support.kube.jobs import JobController
from support.kube.server import KubeApi
from support.kube.trainjobs import TrainJobController
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.errors import ApiError
from tunegate.launchers.kube.launcher import PodLauncher
from tunegate.launchers.kubeflow import KubeflowLauncher
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.launchers.kubernetes import KubernetesLauncher
from tunegate.launchers.kubernetes.settings import KubernetesSettings
from tunegate.sdk.launcher import Launcher, LauncherContext

COLLECTED_AFTER_S = 1.0
"""Between an owner's end and that of what it owned."""
LAG_S = 6.0


def submits_again() -> AbstractContextManager[object]:
    """A second object, of another name, as if the first answer had been taken for lost."""
    real = KubeClient.create

    async def create(self: KubeClient, path: str, manifest: Any, kind: Any) -> Any:
        if path.endswith(("/trainjobs", "/jobs")):
            name = f"{manifest['metadata']['name']}-again"
            again = {**manifest, "metadata": {**manifest["metadata"], "name": name}}
            with suppress(ApiError):
                await real(self, path, again, kind)
        return await real(self, path, manifest, kind)

    return mock.patch.object(KubeClient, "create", create)


class Cluster(Engine):
    """Its namespace is empty when all is over."""

    controller: ClassVar[Callable[[KubeApi], TrainJobController | JobController]]
    PLANTS: ClassVar[Plants] = usual(PodLauncher, submits_again, "_ensure")

    async def start(self, ground: Ground) -> None:
        self._api = KubeApi(ground.folder)
        await self._api.__aenter__()
        self._nodes = Nodes(self._api, ground)
        self._controller = type(self).controller(self._api)
        self._api.objects.collected_after_s = COLLECTED_AFTER_S
        self._api.trouble = ground.weather.trouble
        self._api.lag_s = lambda: ground.weather.stale_s() and ground.weather.between(0, LAG_S)

    async def close(self) -> None:
        await self._controller.close()
        await self._nodes.close()
        await self._api.__aexit__()

    @property
    def kubeconfig(self) -> str:
        return str(self._api.kubeconfig)

    @abstractmethod
    def launcher(self, context: LauncherContext) -> Launcher: ...

    def left(self) -> list[str]:
        return [f"{path.rpartition('/')[2]}/{name}" for path, name in self._api.objects.all]


class KubeflowEngine(Cluster):
    name = "kubeflow"
    controller = TrainJobController

    def launcher(self, context: LauncherContext) -> Launcher:
        settings = KubeflowSettings(namespace="default", kubeconfig=self.kubeconfig)
        return KubeflowLauncher(settings, context)


class KubernetesEngine(Cluster):
    name = "kubernetes"
    replaces = True
    controller = JobController

    def launcher(self, context: LauncherContext) -> Launcher:
        settings = KubernetesSettings(namespace="default", kubeconfig=self.kubeconfig)
        return KubernetesLauncher(settings, context)
