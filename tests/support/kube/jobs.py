"""Does to Jobs what Kubernetes' own controller does (1.31): indexed pods, the failure policy, suspension, conditions."""

import copy
import itertools

from support.kube.controllers import INDEX, MemoryController
from support.kube.objects import Object
from support.kube.server import KubeApi


class JobController(MemoryController):
    """Of batch/v1 Jobs."""

    path = "/apis/batch/v1/namespaces/{}/jobs"
    speaker = "the controller"

    def __init__(self, api: KubeApi, namespace: str = "default") -> None:
        self._counted: set[str] = set()
        self._suffix = itertools.count()
        super().__init__(api, namespace)

    def _reconcile(self, job: Object) -> None:
        conditions = job.get("status", {}).get("conditions", [])
        over = any(one["type"] in ("Complete", "Failed") for one in conditions)
        if "deletionTimestamp" in job["metadata"] or over:
            return
        pods = self._pods_of(job)
        if job["spec"].get("suspend"):
            self._set(job, conditions, "Suspended", "True", "JobSuspended")
            self._delete(pods)
            return
        if any(one["type"] == "Suspended" and one["status"] == "True" for one in conditions):
            self._set(job, conditions, "Suspended", "False", "JobResumed")
            return
        for pod in pods:
            failure = self._failure(job, pod)
            if failure is not None:
                self._set(job, conditions, "Failed", "True", failure)
                self._delete(pods)
                return
        done = {_index(pod) for pod in pods if pod["status"].get("phase") == "Succeeded"}
        if len(done) == job["spec"]["completions"]:
            self._set(job, conditions, "Complete", "True", "CompletionsReached")
            return
        held = {_index(pod) for pod in pods if pod["status"].get("phase") != "Failed"} | done
        for index in sorted(set(range(job["spec"]["completions"])) - held):
            self._objects.create(self._pods, self._pod(job, index))

    def _failure(self, job: Object, pod: Object) -> str | None:
        """Why this pod fails the Job, by the first rule that fits it, else by the limit of tries."""
        if pod["status"].get("phase") != "Failed":
            return None
        for rule in job["spec"]["podFailurePolicy"]["rules"]:
            if _fits(rule, pod):
                return "PodFailurePolicy" if rule["action"] == "FailJob" else None
        self._counted.add(pod["metadata"]["uid"])
        tries = sum(one["metadata"]["uid"] in self._counted for one in self._pods_of(job))
        return "BackoffLimitExceeded" if tries > job["spec"]["backoffLimit"] else None

    def _delete(self, pods: list[Object]) -> None:
        for pod in pods:
            alive = pod["status"].get("phase") not in ("Failed", "Succeeded")
            if alive and "deletionTimestamp" not in pod["metadata"]:
                self._objects.delete((self._pods, pod["metadata"]["name"]))

    def _pod(self, job: Object, index: int) -> Object:
        template, name = copy.deepcopy(job["spec"]["template"]), job["metadata"]["name"]
        metadata = template["metadata"]
        metadata["name"] = f"{name}-{index}-{next(self._suffix):05d}"
        metadata["annotations"] = {**metadata.get("annotations", {}), INDEX: str(index)}
        metadata["ownerReferences"] = [{"kind": "Job", "uid": job["metadata"]["uid"]}]
        spec = {**template["spec"], "hostname": f"{name}-{index}"}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}


def _fits(rule: Object, pod: Object) -> bool:
    status = pod["status"]
    if "onPodConditions" in rule:
        wanted = {(one["type"], one["status"]) for one in rule["onPodConditions"]}
        return any((one["type"], one["status"]) in wanted for one in status.get("conditions", ()))
    said = rule["onExitCodes"]
    assert said["operator"] == "In"
    return any(
        one["name"] == said["containerName"]
        and one["state"].get("terminated", {}).get("exitCode") in said["values"]
        for one in status.get("containerStatuses", ())
    )


def _index(pod: Object) -> int:
    return int(pod["metadata"]["annotations"][INDEX])
