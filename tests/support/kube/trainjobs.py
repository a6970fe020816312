"""Does to TrainJobs what Kubeflow's controller, JobSet and Job do together: pods out of patches, conditions out of pods.

As Kubeflow Trainer 2.3 does, it goes on with a TrainJob that is being deleted for as long as it is there: what goes is
made anew.
"""

import copy
import uuid

from support.kube.controllers import INDEX, MemoryController
from support.kube.objects import Object


class TrainJobController(MemoryController):
    """Of TrainJobs."""

    path = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/{}/trainjobs"
    speaker = "jobset"

    def _reconcile(self, job: Object) -> None:
        conditions = job.get("status", {}).get("conditions", [])
        over = any(one["type"] in ("Complete", "Failed") for one in conditions)
        if over:
            return
        pods = [pod for pod in self._pods_of(job) if "deletionTimestamp" not in pod["metadata"]]
        if job["spec"].get("suspend"):
            self._set(job, conditions, "Suspended", "True", "Suspended")
            for pod in pods:
                self._objects.delete((self._pods, pod["metadata"]["name"]))
            return
        if any(one["type"] == "Suspended" and one["status"] == "True" for one in conditions):
            self._set(job, conditions, "Suspended", "False", "Resumed")
            return
        phases = [pod["status"].get("phase") for pod in pods]
        if "Failed" in phases:
            self._set(job, conditions, "Failed", "True", "FailedJobs")
        elif phases.count("Succeeded") == job["spec"]["trainer"]["numNodes"]:
            self._set(job, conditions, "Complete", "True", "AllJobsCompleted")
        elif not pods:
            for index in range(job["spec"]["trainer"]["numNodes"]):
                self._objects.create(self._pods, pod_of(job, index))


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
    metadata["name"] = f"{name}-node-0-{index}-{uuid.uuid4().hex[:5]}"
    metadata["annotations"] = {**metadata.get("annotations", {}), INDEX: str(index)}
    metadata["ownerReferences"] = [{"kind": "Job", "uid": job["metadata"]["uid"]}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}
