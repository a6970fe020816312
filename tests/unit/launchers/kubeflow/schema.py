"""What Kubeflow's published schema and its webhooks say of a TrainJob, as far as ours uses it (v1alpha1, August 2026)."""

import re
from typing import Any

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
SPEC = {"activeDeadlineSeconds", "initializer", "managedBy", "runtimePatches", "runtimeRef", "suspend", "trainer"}  # fmt: skip
TRAINER = {"args", "command", "env", "image", "numNodes", "numProcPerNode", "resourcesPerNode"}
POD = {
    "affinity", "containers", "imagePullSecrets", "initContainers", "nodeSelector", "schedulingGates",
    "securityContext", "serviceAccountName", "terminationGracePeriodSeconds", "tolerations", "volumes",
}  # fmt: skip
CONTAINER = {"env", "name", "securityContext", "volumeMounts"}
TORCH_RESERVED = {"PET_MASTER_ADDR", "PET_MASTER_PORT", "PET_NNODES", "PET_NODE_RANK", "PET_NPROC_PER_NODE"}  # fmt: skip
LONGEST_NAME, LONGEST_IMAGE, LONGEST_PART, MOST_ITEMS = 63, 500, 65536, 128


def problems_of(job: dict[str, Any]) -> list[str]:
    """Everything that the API server or a webhook would refuse; fields that it would drop in silence too."""
    found: list[str] = []

    def check(holds: bool, what: str) -> None:
        if not holds:
            found.append(what)

    def only(value: dict[str, Any], allowed: set[str], where: str) -> None:
        check(value.keys() <= allowed, f"{where} has {sorted(value.keys() - allowed)}")

    name, spec = job["metadata"]["name"], job["spec"]
    check(job["apiVersion"] == "trainer.kubeflow.org/v1alpha1", "apiVersion")
    check(job["kind"] == "TrainJob", "kind")
    check(bool(NAME.fullmatch(name)) and len(name) <= LONGEST_NAME, "name")
    only(spec, SPEC, "spec")
    only(spec["runtimeRef"], {"apiGroup", "kind", "name"}, "runtimeRef")
    deadline = spec.get("activeDeadlineSeconds", 1)
    check(isinstance(deadline, int) and deadline >= 1, "activeDeadlineSeconds")
    trainer = spec["trainer"]
    only(trainer, TRAINER, "trainer")
    check(len(trainer["image"]) <= LONGEST_IMAGE, "image")
    check(len(trainer["command"]) <= MOST_ITEMS, "command")
    check(all(len(part) <= LONGEST_PART for part in trainer["command"]), "command")
    names = [one["name"] for one in trainer["env"]]
    check(len(names) == len(set(names)) <= MOST_ITEMS, "env is a map")
    check(not TORCH_RESERVED & set(names), "env is reserved")
    for number in ("numNodes", "numProcPerNode"):
        check(type(trainer[number]) is int, number)
    only(trainer["resourcesPerNode"], {"claims", "limits", "requests"}, "resourcesPerNode")
    managers = [patch["manager"] for patch in spec["runtimePatches"]]
    check(len(managers) == len(set(managers)) <= 16, "managers are keys")
    for patch in spec["runtimePatches"]:
        check("/" in patch["manager"], "a manager is a path below a domain")
        only(patch, {"manager", "time", "trainingRuntimeSpec"}, "patch")
        only(patch["trainingRuntimeSpec"], {"template"}, "trainingRuntimeSpec")
        template = patch["trainingRuntimeSpec"]["template"]
        only(template, {"metadata", "spec"}, "template")
        only(template["spec"], {"replicatedJobs"}, "JobSet patch")
        for replicated in template["spec"]["replicatedJobs"]:
            only(replicated, {"name", "template"}, "replicatedJob")
            only(replicated["template"], {"metadata", "spec"}, "Job patch")
            only(replicated["template"]["spec"], {"template"}, "Job spec patch")
            pod = replicated["template"]["spec"]["template"]
            only(pod.get("metadata", {}), {"annotations", "labels"}, "pod metadata patch")
            only(pod["spec"], POD, "pod patch")
            volumes = {one["name"] for one in pod["spec"].get("volumes", ())}
            for container in pod["spec"].get("containers", ()):
                only(container, CONTAINER, "container patch")
                check(container["name"] != "node" or "env" not in container, "env by patch")
                mounts = {one["name"] for one in container.get("volumeMounts", ())}
                check(mounts <= volumes, "a mount without a volume")
    return found
