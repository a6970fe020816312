"""Kubeflow: the API server in memory over HTTP, TrainJobs' controller, watches that lag and names that linger."""

from contextlib import AbstractContextManager
from typing import Any, ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.engines.pods import Nodes
from faults.launchers.weather import Strike
from support.kube.server import KubeApi
from support.kube.trainjobs import TrainJobController
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kubeflow import KubeflowLauncher
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.sdk.launcher import LauncherContext

LAG_S = 6.0


def how(strike: Strike) -> str | int | None:
    """A strike in the words of `KubeApi.trouble`."""
    words = {"fine": None, "refused": strike.status, "cut": "cut", "cut after": "cut after", "fails after": "after"}  # fmt: skip
    return words[strike.kind]


def forgets_cleanup() -> AbstractContextManager[object]:
    return mock.patch.object(KubeflowLauncher, "cleanup", mock.AsyncMock())


def gives_up_at_trouble() -> AbstractContextManager[object]:
    """Whatever goes wrong on the way is taken for a refusal of the run."""
    from tunegate.launchers.kubeflow import launcher
    from tunegate.sdk.launcher import EngineUnavailable, LaunchRefused

    real = launcher.KubeflowLauncher._ensure

    async def ensure(*args: Any) -> Any:
        try:
            return await real(*args)
        except EngineUnavailable as error:
            raise LaunchRefused(str(error)) from error

    return mock.patch.object(launcher.KubeflowLauncher, "_ensure", ensure)


def names_of_its_own() -> AbstractContextManager[object]:
    """Every try is a new object: submitted blindly after a time-out, it is there twice."""
    real = KubeClient.create
    count = iter(range(10**9))

    async def create(self: KubeClient, path: str, manifest: Any, kind: Any) -> Any:
        if path.endswith("/trainjobs"):
            name = f"{manifest['metadata']['name']}-{next(count)}"
            manifest = {**manifest, "metadata": {**manifest["metadata"], "name": name}}
        return await real(self, path, manifest, kind)

    return mock.patch.object(KubeClient, "create", create)


class KubeflowEngine(Engine):
    """Its namespace is empty when all is over."""

    name = "kubeflow"
    PLANTS: ClassVar[Plants] = {
        "left in the engine": forgets_cleanup,
        "launch_failed": gives_up_at_trouble,
        "was started": names_of_its_own,
    }

    async def start(self, ground: Ground) -> None:
        self._ground = ground
        self._api = KubeApi(ground.folder)
        await self._api.__aenter__()
        self._nodes = Nodes(self._api, ground)
        self._controller = TrainJobController(self._api)
        self._api.trouble = self._trouble
        self._api.lag_s = lambda: ground.weather.stale_s() and ground.weather.between(0, LAG_S)
        self._settings = KubeflowSettings(namespace="default", kubeconfig=str(self._api.kubeconfig))

    async def close(self) -> None:
        await self._controller.close()
        await self._nodes.close()
        await self._api.__aexit__()

    def launcher(self, context: LauncherContext) -> KubeflowLauncher:
        return KubeflowLauncher(self._settings, context)

    def left(self) -> list[str]:
        return [f"{path.rpartition('/')[2]}/{name}" for path, name in self._api.objects.all]

    async def _trouble(self, _method: str, _path: str) -> str | int | None:
        return how(await self._ground.weather.strike())
