"""Jobs through a real gateway on a real cluster, with the rights of deploy/kubernetes/rbac.yaml: as Jobs, and as TrainJobs."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engines.front import gateway_at
from engines.jobs import EngineJobs
from integration.conftest import base_model, world
from support.api import Api
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.testing.s3_server import S3Server

from .conftest import IMAGE, NAMESPACE, RELEASE
from .trainjobs import GROUP, VERSION, trainer_of

__all__ = ("base_model", "world")
pytestmark = pytest.mark.engine
CONFIG = """\
launchers.{launcher}.namespace = "{namespace}"
launchers.{launcher}.kubeconfig = "{kubeconfig}"
launchers.{launcher}.env = {{OMP_NUM_THREADS = "1"}}
control.default_launcher = "{launcher}"
"""


class ClusterJobs(EngineJobs):
    """What the cluster has of a gateway's is looked at with the administrator's rights."""

    workloads: ClassVar[tuple[str, str]]

    @pytest.fixture
    async def api(self, world: S3Server, kubeconfig: str, tmp_path: Path) -> AsyncIterator[Api]:
        config = CONFIG.format(launcher=self.launcher, namespace=NAMESPACE, kubeconfig=kubeconfig)
        async with gateway_at(
            os.environ["TUNEGATE_TEST_HOST"], tmp_path, world, config,
            TUNEGATE_TRAINER__IMAGE=os.environ[IMAGE],
        ) as client:  # fmt: skip
            yield client

    @pytest.fixture(autouse=True)
    async def look(self, admin: str) -> AsyncIterator[None]:
        self.client = KubeClient(KubeSettings(namespace=NAMESPACE, kubeconfig=admin))
        yield
        await self.client.close()

    async def kill(self) -> None:
        (pod,) = await self._all("api/v1", "pods")
        (container,) = pod["status"]["containerStatuses"]
        name = container["containerID"].removeprefix("containerd://")
        ctr = ["ctr", "-a", os.environ["TUNEGATE_TEST_CONTAINERD"], "-n", "k8s.io"]
        argv = [*ctr, "tasks", "kill", "-s", "KILL", name]
        await asyncio.to_thread(subprocess.run, argv, check=True)

    async def left(self) -> list[str]:
        kinds = (self.workloads, ("api/v1", "pods"), ("api/v1", "secrets"), ("api/v1", "configmaps"))  # fmt: skip
        return [
            f"{plural}/{one['metadata']['name']}"
            for group, plural in kinds
            for one in await self._all(group, plural)
        ]

    async def _all(self, group: str, plural: str) -> list[dict[str, Any]]:
        path = f"/{group}/namespaces/{NAMESPACE}/{plural}"
        ours = "app.kubernetes.io/managed-by=tunegate"
        return (await self.client.list(path, dict[str, Any], labelSelector=ours)).items


class TestKubernetesJobs(ClusterJobs):
    launcher = "kubernetes"
    workloads = ("apis/batch/v1", "jobs")
    several_nodes = RELEASE >= (1, 24)  # by indexed Jobs, which are younger than the oldest server

    async def evict(self) -> None:
        """As draining a node does."""
        (pod,) = await self._all("api/v1", "pods")
        name = pod["metadata"]["name"]
        manifest = {
            "apiVersion": "policy/v1" if RELEASE >= (1, 22) else "policy/v1beta1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": NAMESPACE},
        }
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        await self.client.create(path, manifest, dict[str, Any])

    async def test_evicted_and_resumed(self, api: Api, world: S3Server) -> None:
        await self.resumed_after(self.evict, api, world)


class TestKubeflowJobs(ClusterJobs):
    launcher = "kubeflow"
    workloads = (f"apis/{GROUP}/{VERSION}", "trainjobs")

    @pytest.fixture(autouse=True)
    async def trainer(self, look: None) -> AsyncIterator[None]:
        async with trainer_of(self.client, NAMESPACE):
            yield
