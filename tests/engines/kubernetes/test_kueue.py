"""Jobs that Kueue lets in, on a cluster where it is installed: one after the other, and the one that waits says where and why."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engines.front import gateway_at
from engines.jobs import lora, until
from integration.conftest import base_model, world
from support.api import Api
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.errors import ApiError
from tunegate.launchers.kube.reasons import KUEUE
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.testing.s3_server import S3Server

from .conftest import IMAGE, NAMESPACE

__all__ = ("base_model", "world")
pytestmark = pytest.mark.engine
QUEUE = "team"
CONFIG = """\
control.default_launcher = "kubernetes"
launchers.kubernetes.namespace = "{namespace}"
launchers.kubernetes.kubeconfig = "{kubeconfig}"
launchers.kubernetes.env = {{OMP_NUM_THREADS = "1"}}
launchers.kubernetes.queue = "{queue}"
"""


def objects() -> list[tuple[str, dict[str, Any]]]:
    """Room for one of our jobs at a time."""
    version = KUEUE.removeprefix("/apis/")
    quotas = [
        {"name": "cpu", "nominalQuota": "1500m"},
        {"name": "memory", "nominalQuota": "8Gi"},
    ]
    flavors = [{"name": "any", "resources": quotas}]
    group = {"coveredResources": ["cpu", "memory"], "flavors": flavors}
    kinds: list[tuple[str, str, str, dict[str, Any] | None]] = [
        ("ResourceFlavor", "resourceflavors", "any", {}),
        ("ClusterQueue", "clusterqueues", QUEUE, {"namespaceSelector": {}, "resourceGroups": [group]}),
        ("LocalQueue", f"namespaces/{NAMESPACE}/localqueues", QUEUE, {"clusterQueue": QUEUE}),
    ]  # fmt: skip
    return [
        (f"{KUEUE}/{path}", {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})
        for kind, path, name, spec in kinds
    ]  # fmt: skip


@pytest.fixture
async def cluster(admin: str) -> AsyncIterator[KubeClient]:
    client = KubeClient(KubeSettings(namespace=NAMESPACE, kubeconfig=admin))
    try:
        if await client.get(KUEUE, dict[str, Any]) is None:
            pytest.skip("this cluster has no Kueue")
        for path, manifest in objects():
            with suppress(ApiError):  # an earlier test made it
                await client.create(path, manifest, dict[str, Any])
        yield client
    finally:
        await client.close()


@pytest.fixture
async def api(
    cluster: KubeClient, world: S3Server, kubeconfig: str, tmp_path: Path
) -> AsyncIterator[Api]:
    config = CONFIG.format(namespace=NAMESPACE, kubeconfig=kubeconfig, queue=QUEUE)
    async with gateway_at(
        os.environ["TUNEGATE_TEST_HOST"], tmp_path, world, config,
        TUNEGATE_TRAINER__IMAGE=os.environ[IMAGE],
    ) as client:  # fmt: skip
        yield client


async def until_it_waits(api: Api, name: str) -> str:
    """The reason that it gives, once Kueue has looked at it."""

    async def waits() -> bool:
        return "insufficient" in ((await api.job(name))["queue_reason"] or "")

    await until(waits)
    job = await api.job(name)
    assert job["status"] == "queued", job
    return job["queue_reason"]


async def test_one_after_the_other(api: Api, world: S3Server) -> None:
    await api.submit(lora("first", world, num_epochs=500))
    await api.wait("first", status={"running"})
    await api.submit(lora("second", world, num_epochs=1))
    reason = await until_it_waits(api, "second")
    assert f"it waits in the queue {QUEUE} at place 1: " in reason
    assert "quota for cpu" in reason
    await api.call("POST", "/train/first/cancel")
    assert (await api.wait("first"))["status"] == "cancelled"
    job = await api.wait("second")
    assert (job["status"], job["attempt"], job["queue_reason"]) == ("succeeded", 1, None), job


async def test_what_waits_can_be_cancelled(api: Api, cluster: KubeClient, world: S3Server) -> None:
    await api.submit(lora("holder", world, num_epochs=500))
    await api.wait("holder", status={"running"})
    await api.submit(lora("waiter", world, num_epochs=1))
    await until_it_waits(api, "waiter")
    for name in ("waiter", "holder"):
        await api.call("POST", f"/train/{name}/cancel")
        assert (await api.wait(name))["status"] == "cancelled"

    async def nothing_is_left() -> bool:
        path = f"{KUEUE}/namespaces/{NAMESPACE}/workloads"
        return not (await cluster.list(path, dict[str, Any])).items

    await until(nothing_is_left)


async def test_a_queue_that_is_drained_and_opened_again(
    api: Api, cluster: KubeClient, world: S3Server
) -> None:
    """As when a job of more weight takes the place: a second attempt goes on from the checkpoint."""
    await api.submit(lora("phoenix", world, num_epochs=30, save_steps=10))

    async def is_saved() -> bool:
        return bool((await api.call("GET", "/train/phoenix/checkpoints"))[1]["data"])

    await until(is_saved, 90)
    await stop(cluster, "HoldAndDrain")
    try:

        async def waits() -> bool:
            return (await api.job("phoenix"))["status"] == "queued"

        await until(waits)
    finally:
        await stop(cluster, "None")
    job = await api.wait("phoenix")
    assert (job["status"], job["attempt"]) == ("succeeded", 2), job
    events = await api.events("phoenix")
    assert any("checkpoint" in event["detail"] for event in events if event["attempt"] == 2)


async def stop(cluster: KubeClient, policy: str) -> None:
    """What becomes of what the queue let in."""
    await cluster.patch(f"{KUEUE}/clusterqueues/{QUEUE}", {"spec": {"stopPolicy": policy}})
