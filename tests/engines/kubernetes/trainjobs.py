"""TrainJobs on a real API server: Kubeflow Trainer's own where the cluster has it, else a small stand-in for it.

Kubeflow Trainer, with JobSet below it, can't be built from what this repository's tests may fetch. Whoever installs both
in the cluster (their charts do) has the same tests run on them. The stand-in is the definition of TrainJobs as far as
ours uses it, and a controller that makes real pods of them.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from support.kube.controllers import Controller
from support.kube.trainjobs import pod_of
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.errors import ApiError
from tunegate.sdk.launcher import EngineUnavailable

GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEXT, NUMBER = {"type": "string"}, {"type": "integer", "format": "int32"}
TEXTS = {"type": "array", "items": TEXT}
LOOK_AGAIN_S = 0.3


def _closed(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def _keyed(key: str) -> dict[str, Any]:
    items = {**OPEN, "required": [key], "properties": {key: TEXT}}
    return {"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}  # fmt: skip


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"trainjobs.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "TrainJob", "plural": "trainjobs", "singular": "trainjob"},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": _closed(
                        spec=_closed(
                            runtimeRef=_closed(apiGroup=TEXT, kind=TEXT, name=TEXT),
                            suspend={"type": "boolean"},
                            activeDeadlineSeconds={"type": "integer", "format": "int64", "minimum": 1},
                            runtimePatches=_keyed("manager"),
                            trainer=_closed(
                                image=TEXT, command=TEXTS, args=TEXTS, env=_keyed("name"),
                                numNodes=NUMBER, numProcPerNode=NUMBER, resourcesPerNode=OPEN,
                            ),
                        ),
                        status=OPEN,
                    )
                },
            }
        ],
    },
}  # fmt: skip

RUNTIMES = f"/apis/{GROUP}/{VERSION}/clustertrainingruntimes"
RUNTIME = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {f"{GROUP}/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {"labels": {f"{GROUP}/trainjob-ancestor-step": "trainer"}},
                            "spec": {"template": {"spec": {"containers": [{"name": "node", "image": "none"}]}}},
                        },
                    }
                ]
            }
        },
    },
}  # fmt: skip
"""The one that Kubeflow ships for PyTorch."""


@asynccontextmanager
async def trainer_of(client: KubeClient, namespace: str) -> AsyncGenerator[None]:
    """TrainJobs of the namespace become pods meanwhile."""
    if await client.get(RUNTIMES, dict[str, Any]) is not None:
        with suppress(ApiError):  # the operator or an earlier test made it
            await client.create(RUNTIMES, RUNTIME, dict[str, Any])
        yield
        return
    await define(client)
    controller = StandIn(client, namespace)
    yield
    await controller.close()


async def define(client: KubeClient) -> None:
    """Returns when the server serves them."""
    with suppress(ApiError):  # an earlier session made it
        await client.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION, dict[str, Any])  # fmt: skip
    path = f"/apis/{GROUP}/{VERSION}/trainjobs"
    async with asyncio.timeout(30):
        while True:
            with suppress(ApiError):
                await client.list(path, dict[str, Any])
                return
            await asyncio.sleep(0.1)


class StandIn(Controller):
    """Makes what is missing, and says how far the pods of each TrainJob are."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._jobs = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/trainjobs"
        self._core = f"/api/v1/namespaces/{namespace}"
        super().__init__()

    async def _look(self) -> None:
        with suppress(ApiError, EngineUnavailable):
            for job in (await self._client.list(self._jobs, dict[str, Any])).items:
                await self._reconcile(job)
        await asyncio.sleep(LOOK_AGAIN_S)

    async def _reconcile(self, job: dict[str, Any]) -> None:
        meta, status = job["metadata"], job.get("status", {})
        if "deletionTimestamp" in meta or status.get("conditions"):
            return
        found = (await self._client.list(f"{self._core}/pods", dict[str, Any])).items
        pods = [pod for pod in found if _owner(job) in pod["metadata"].get("ownerReferences", ())]
        phases = [pod["status"].get("phase") for pod in pods]
        if len(pods) < job["spec"]["trainer"]["numNodes"] and not status:
            await self._make(job)
            return
        ended: str | None = None
        if "Failed" in phases:
            ended = "Failed"
        elif pods and phases.count("Succeeded") == job["spec"]["trainer"]["numNodes"]:
            ended = "Complete"
        told: dict[str, Any] = {
            "jobsStatus": [{"name": "node", "ready": phases.count("Running"), "active": phases.count("Pending")}]
        }  # fmt: skip
        if ended is not None:
            reason = {"Failed": "FailedJobs", "Complete": "AllJobsCompleted"}[ended]
            told["conditions"] = [{"type": ended, "status": "True", "reason": reason, "message": ""}]  # fmt: skip
        if told != status:
            await self._client.patch(f"{self._jobs}/{meta['name']}/status", {"status": told})

    async def _make(self, job: dict[str, Any]) -> None:
        """A headless service by the job's name, and its pods with a hostname in it."""
        name, owners = job["metadata"]["name"], [_owner(job)]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "ownerReferences": owners},
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"jobset": name}},
        }  # fmt: skip
        await self._ensure("services", service)
        for index in range(job["spec"]["trainer"]["numNodes"]):
            pod = pod_of(job, index)
            del pod["status"]
            pod["metadata"] |= {"name": f"{name}-node-0-{index}", "ownerReferences": owners}
            pod["metadata"]["labels"]["jobset"] = name
            pod["spec"] |= {"hostname": f"{name}-node-0-{index}", "subdomain": name, "restartPolicy": "Never"}  # fmt: skip
            await self._ensure("pods", pod)

    async def _ensure(self, plural: str, manifest: dict[str, Any]) -> None:
        try:
            await self._client.create(f"{self._core}/{plural}", manifest, dict[str, Any])
        except ApiError as error:
            if not error.is_conflict:
                raise


def _owner(job: dict[str, Any]) -> dict[str, Any]:
    meta = job["metadata"]
    return {
        "apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "name": meta["name"], "uid": meta["uid"],
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
