"""Does to TrainJobs what Kubeflow's controller, JobSet and Job do together: pods out of patches, conditions out of pods."""

import asyncio
import copy

from support.kube.objects import Object
from support.kube.server import KubeApi

PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/{}/trainjobs"
INDEX = "batch.kubernetes.io/job-completion-index"


class TrainJobController:
    """Level-triggered: after every change, each TrainJob is looked at anew."""

    def __init__(self, api: KubeApi, namespace: str = "default") -> None:
        self._objects = api.objects
        self._jobs = PATH.format(namespace)
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            changed = self._objects.changed
            for job in list(self._objects.of(self._jobs)):
                self._reconcile(job)
            await changed.wait()

    def _reconcile(self, job: Object) -> None:
        name = job["metadata"]["name"]
        conditions = job.get("status", {}).get("conditions", [])
        over = any(one["type"] in ("Complete", "Failed") for one in conditions)
        if "deletionTimestamp" in job["metadata"] or over:
            return
        pods = [pod for pod in self._objects.of(self._pods) if _owned(pod, job)]
        if job["spec"].get("suspend"):
            self._set(name, conditions, "Suspended", "True", "Suspended")
            for pod in pods:
                if "deletionTimestamp" not in pod["metadata"]:
                    self._objects.delete((self._pods, pod["metadata"]["name"]))
            return
        if any(one["type"] == "Suspended" and one["status"] == "True" for one in conditions):
            self._set(name, conditions, "Suspended", "False", "Resumed")
            return
        phases = [pod["status"].get("phase") for pod in pods]
        if "Failed" in phases:
            self._set(name, conditions, "Failed", "True", "FailedJobs")
        elif phases.count("Succeeded") == job["spec"]["trainer"]["numNodes"]:
            self._set(name, conditions, "Complete", "True", "AllJobsCompleted")
        elif not pods:
            for index in range(job["spec"]["trainer"]["numNodes"]):
                self._objects.create(self._pods, pod_of(job, index))

    def _set(self, name: str, old: list[Object], kind: str, status: str, reason: str) -> None:
        if any((one["type"], one["status"]) == (kind, status) for one in old):
            return
        now = self._objects.now().isoformat(timespec="seconds")
        new = {"type": kind, "status": status, "reason": reason, "message": f"jobset: {reason}", "lastTransitionTime": now}  # fmt: skip
        kept = [one for one in old if one["type"] != kind]
        self._objects.update(self._jobs, name, {"status": {"conditions": [*kept, new]}})


def pod_of(job: Object, index: int) -> Object:
    """The runtime's bare pod with the TrainJob's trainer and patches on it."""
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    template = copy.deepcopy(replicated["template"]["spec"]["template"])
    name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
    spec = template["spec"]
    (patched,) = spec["containers"]
    spec["containers"] = [
        {
            **patched,
            "image": trainer["image"],
            "command": trainer["command"],
            "env": trainer["env"],
            "resources": trainer["resourcesPerNode"],
        }
    ]
    metadata = template["metadata"]
    metadata["name"] = f"{name}-node-0-{index}-abcde"
    metadata["annotations"] = {**metadata.get("annotations", {}), INDEX: str(index)}
    metadata["ownerReferences"] = [{"kind": "Job", "uid": job["metadata"]["uid"]}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}


def _owned(pod: Object, job: Object) -> bool:
    return any(
        ref["uid"] == job["metadata"]["uid"] for ref in pod["metadata"].get("ownerReferences", ())
    )
