"""Jobs through a real gateway on a real cluster, with the rights of deploy/kubernetes/rbac.yaml."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engines.front import gateway_at
from engines.jobs import EngineJobs
from integration.conftest import base_model, world
from support.api import Api
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.testing.s3_server import S3Server

from .conftest import IMAGE, NAMESPACE

__all__ = ("base_model", "world")
pytestmark = pytest.mark.engine
CONFIG = """\
launchers.kubernetes.namespace = "{namespace}"
launchers.kubernetes.kubeconfig = "{kubeconfig}"
launchers.kubernetes.env = {{OMP_NUM_THREADS = "1"}}
control.default_launcher = "kubernetes"
"""


class TestKubernetesJobs(EngineJobs):
    launcher = "kubernetes"
    several_nodes = False  # indexed Jobs are younger than this server

    @pytest.fixture
    async def api(self, world: S3Server, kubeconfig: str, tmp_path: Path) -> AsyncIterator[Api]:
        config = CONFIG.format(namespace=NAMESPACE, kubeconfig=kubeconfig)
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
        kinds = (("apis/batch/v1", "jobs"), ("api/v1", "pods"), ("api/v1", "secrets"), ("api/v1", "configmaps"))  # fmt: skip
        return [
            f"{plural}/{one['metadata']['name']}"
            for group, plural in kinds
            for one in await self._all(group, plural)
        ]

    async def _all(self, group: str, plural: str) -> list[dict[str, Any]]:
        path = f"/{group}/namespaces/{NAMESPACE}/{plural}"
        ours = "app.kubernetes.io/managed-by=tunegate"
        return (await self.client.list(path, dict[str, Any], labelSelector=ours)).items
