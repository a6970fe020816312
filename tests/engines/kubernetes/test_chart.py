"""The chart on a real API server: installed with helm, a job through it, upgraded, and taken away."""

import asyncio
import base64
import json
import os
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from engines.jobs import lora, until
from integration.conftest import base_model, world
from support.api import Api
from support.tcp_proxy import TcpProxy
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.testing.postgres_server import PostgresServer
from tunegate.sdk.testing.s3_server import S3Server

from .conftest import IMAGE

__all__ = ("base_model", "world")
pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[3]
HELM = ROOT / "build/engines/helm/bin/helm"
GATEWAY = "TUNEGATE_TEST_GATEWAY_IMAGE"
NAMESPACE, USER = "chart", 10001
CLASS = "chart-by-hand"


class Release:
    """Of the chart, in a namespace of its own."""

    def __init__(self, kubeconfig: str, values: dict[str, Any], folder: Path) -> None:
        self._values = values
        self._file = folder / "values.json"
        self._env = {**os.environ, "KUBECONFIG": kubeconfig}
        self.client = KubeClient(KubeSettings(namespace=NAMESPACE, kubeconfig=kubeconfig))

    async def install(self, **more: Any) -> str:
        """Or upgrade. Returns the notes, once everything is ready."""
        self._file.write_text(json.dumps(self._values | more))
        chart = str(ROOT / "deploy/helm/tunegate")
        return await self.helm(
            "upgrade", "--install", "tunegate", chart, "--create-namespace",
            "--values", str(self._file), "--wait", "--timeout", "3m",
        )  # fmt: skip

    async def helm(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            str(HELM), *arguments, "--namespace", NAMESPACE, env=self._env,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode() + str(await self.trouble())
        return said.decode()

    async def pods(self, component: str = "gateway") -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods"
        label = f"app.kubernetes.io/component={component}"
        return (await self.client.list(path, dict[str, Any], labelSelector=label)).items

    async def has_none_of(self, names: set[str]) -> bool:
        return names.isdisjoint([pod["metadata"]["name"] for pod in await self.pods()])

    @asynccontextmanager
    async def door(self) -> AsyncGenerator[str]:
        """Its Service at an address of this machine, as `kubectl port-forward` would."""
        path = f"/api/v1/namespaces/{NAMESPACE}/services/tunegate"
        service = await self.client.get(path, dict[str, Any])
        assert service is not None
        async with TcpProxy(8080) as proxy:
            proxy.behind = service["spec"]["clusterIP"]
            yield proxy.url

    async def make_namespace(self) -> None:
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await self.client.create("/api/v1/namespaces", manifest, dict[str, Any])

    async def make_secret(self, name: str, data: dict[str, str]) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets"
        manifest = {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data,
        }  # fmt: skip
        await self.client.create(path, manifest, dict[str, Any])

    async def gone(self) -> bool:
        return await self.client.get(f"/api/v1/namespaces/{NAMESPACE}", dict[str, Any]) is None

    async def token(self) -> str:
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/tunegate-auth"
        secret = await self.client.get(path, dict[str, Any])
        assert secret is not None
        return base64.b64decode(secret["data"]["token"]).decode()

    async def trouble(self) -> list[Any]:
        return [pod["status"].get("containerStatuses") for pod in await self.pods()]


@pytest.fixture
def volume(tmp_path: Path) -> dict[str, Any]:
    """For the gateway's state: a folder of the node."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    shutil.chown(folder, USER, USER)
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": CLASS},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS, "capacity": {"storage": "10Gi"},
            "hostPath": {"path": str(folder)},
        },
    }  # fmt: skip


@pytest.fixture
async def bucket(admin: str, world: S3Server) -> AsyncIterator[str]:
    """The S3 server at an address that pods reach."""
    if GATEWAY not in os.environ or not HELM.exists():
        pytest.skip("no image of the gateway or no helm: make engine-kubernetes")
    port = urlsplit(world.endpoint_url).port
    assert port is not None
    async with TcpProxy(port, host=os.environ["TUNEGATE_TEST_HOST"]) as proxy:
        yield proxy.url


@asynccontextmanager
async def released(
    kubeconfig: str, values: dict[str, Any], folder: Path
) -> AsyncGenerator[Release]:
    made = Release(kubeconfig, values, folder)
    try:
        yield made
        await made.helm("uninstall", "tunegate", "--wait")
    finally:
        try:
            await made.client.delete(f"/api/v1/namespaces/{NAMESPACE}")
            await until(made.gone, 180)
        finally:
            await made.client.close()


@pytest.fixture
async def alone(
    admin: str, bucket: str, volume: dict[str, Any], tmp_path: Path
) -> AsyncIterator[Release]:
    """One gateway with SQLite."""
    values = _values(bucket) | {"persistence": {"storageClass": CLASS}}
    async with released(admin, values, tmp_path) as release:
        await release.client.create("/api/v1/persistentvolumes", volume, dict[str, Any])
        yield release
        await release.client.delete(f"/api/v1/persistentvolumes/{CLASS}")


@pytest.fixture
async def team(admin: str, bucket: str, tmp_path: Path) -> AsyncIterator[Release]:
    """Two gateways with a PostgreSQL outside the cluster."""
    host = os.environ["TUNEGATE_TEST_HOST"]
    with PostgresServer() as postgres:
        async with TcpProxy(postgres.port, host=host) as database:
            url = postgres.url().replace(f"127.0.0.1:{postgres.port}", f"{host}:{database.port}")
            values = _values(bucket) | {
                "replicas": 2,
                "database": {"kind": "external", "external": {"existingSecret": "database"}},
                "drainSeconds": 5,
            }
            async with released(admin, values, tmp_path) as release:
                await release.make_namespace()
                await release.make_secret("database", {"url": url})
                yield release


def _values(bucket: str) -> dict[str, Any]:
    repository, _, tag = os.environ[GATEWAY].partition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "runs": {"image": os.environ[IMAGE], "settings": {"env": {"OMP_NUM_THREADS": "1"}}},
        "drainSeconds": 0,
        "config": {
            "control": {"default_launcher": "kubernetes"},
            "trainer": {"trainable_layers_advisory": True},
            "egress": {"allow_http": True, "allow_private_addresses": True, "allowed_ports": []},
            "storage": {
                "s3_endpoint_url": bucket, "sts_endpoint_url": bucket, "s3_path_style": True,
                "allow_private_addresses": True, "allow_http": True,
            },
        },
    }  # fmt: skip


async def test_installed_used_upgraded_and_taken_away(alone: Release, world: S3Server) -> None:
    release = alone
    assert "tunegate" in await release.install()
    assert "Succeeded" in await release.helm("test", "tunegate")
    token = await release.token()
    async with release.door() as url, Api(url, token) as api:
        await api.submit(lora("charted", world, num_epochs=2))
        job = await api.wait("charted", timeout_s=240)
        assert (job["status"], job["launcher"], job["attempt"]) == ("succeeded", "kubernetes", 1), job  # fmt: skip

    await release.install(podAnnotations={"upgraded": "yes"})
    (pod,) = [pod for pod in await release.pods() if "deletionTimestamp" not in pod["metadata"]]
    assert pod["metadata"]["annotations"]["upgraded"] == "yes"
    assert await release.token() == token, "an upgrade keeps the token"
    async with release.door() as url, Api(url, token) as api:
        assert (await api.job("charted"))["status"] == "succeeded", "and the jobs"

    async def runs_are_gone() -> bool:
        path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
        return not (await release.client.list(path, dict[str, Any])).items

    await until(runs_are_gone)


class Caller:
    """Submits the same job again and again, each time over a connection of its own, and notes what does not work."""

    def __init__(self, api: Api, body: dict[str, Any]) -> None:
        self._api = api
        self._body = body
        self.answers: Counter[int] = Counter()
        self.troubles: list[str] = []

    @asynccontextmanager
    async def calling(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self._call())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _call(self) -> None:
        while True:
            try:
                status, answer = await self._api.call(
                    "POST", "/train", json=self._body, headers={"Connection": "close"}
                )
                self.answers[status] += 1
                if status >= 400:
                    self.troubles.append(f"{status}: {answer}")
            except aiohttp.ClientError as error:
                self.troubles.append(repr(error))
            await asyncio.sleep(0.05)


async def test_two_gateways_are_replaced_and_nobody_notices(team: Release, world: S3Server) -> None:
    await team.install()
    token = await team.token()
    async with team.door() as url, Api(url, token) as api:
        caller = Caller(api, lora("long", world, num_epochs=40))
        await api.submit(lora("long", world, num_epochs=40))
        first = {pod["metadata"]["name"] for pod in await team.pods()}
        async with caller.calling():
            await team.install(podAnnotations={"upgraded": "yes"})
            await until(partial(team.has_none_of, first))  # helm waits for new ones alone
            await team.helm("rollback", "tunegate", "1", "--wait", "--timeout", "3m")
        job = await api.wait("long", timeout_s=240)
        assert (job["status"], job["attempt"]) == ("succeeded", 1), job
    assert (caller.troubles, set(caller.answers)) == ([], {200})
    assert caller.answers[200] > 100
    assert len(first) == 2
