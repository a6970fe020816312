"""The TrainJob of a run (trainer.kubeflow.org/v1alpha1). Pure.

A TrainJob names a runtime, says what its trainer runs (`trainer`), and what else of the pod is changed (`runtimePatches`).
What can't be patched is the runtime's business: restartPolicy, backoffLimit, priority and runtime class, image pulls.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.launchers.kube.names import annotations, labels
from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.pod import (
    EnvVar,
    environment,
    placement,
    pod_identity,
    pod_metadata,
    trainer_container,
    volumes,
)
from tunegate.launchers.kube.pod_states import INDEX
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.sdk.launcher import Run
from tunegate.sdk.run_files import node_env

API_VERSION = "trainer.kubeflow.org/v1alpha1"
KIND = "TrainJob"
NODE = "node"
"""Name of the runtime's job that trains, and of its container."""
LAUNCHER = "tunegate.io/launcher"
"""Label that tells the objects of this launcher from those of others in the same namespace."""
QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"
MANAGER = "tunegate.io/launcher"
PORT = 29500
MARGIN_S = 60.0
"""Beyond the gateway's own deadline and grace, so that the engine's is a backstop only."""
_PATCHABLE = ("serviceAccountName", "imagePullSecrets", "securityContext", "nodeSelector", "tolerations")  # fmt: skip


def run_labels(run: Run, settings: KubeflowSettings) -> dict[str, str]:
    """What every object of a run carries."""
    return {**labels(run, settings), LAUNCHER: "kubeflow"}


def train_job(
    run: Run, settings: KubeflowSettings, options: PodOptions, owners: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The whole manifest."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": run.name,
            "labels": {**run_labels(run, settings), **_queueing(settings, options)},
            "annotations": annotations(run),
            "ownerReferences": list(owners),
        },
        "spec": {
            "runtimeRef": {
                "apiGroup": API_VERSION.partition("/")[0],
                "kind": settings.runtime_kind,
                "name": settings.runtime,
            },
            "activeDeadlineSeconds": math.ceil(run.remaining_s + run.grace_s + MARGIN_S),
            "trainer": _trainer(run, settings),
            "runtimePatches": [_patch(run, settings, options)],
        },
    }


def node_variables(run: Run) -> list[EnvVar]:
    """A node's place. Its number is the index of its pod, which only the cluster knows."""
    master = f"{run.name}-{NODE}-0-0.{run.name}"
    env = node_env(run, rank="", master_addr=master, master_port=PORT)
    field = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    return [
        {"name": name, "valueFrom": field} if name == "RANK" else {"name": name, "value": value}
        for name, value in env.items()
    ]


def _queueing(settings: KubeflowSettings, options: PodOptions) -> dict[str, str]:
    """The labels that Kueue reads."""
    queue = options.queue or settings.queue
    priority = options.priority or settings.priority_class
    named = {QUEUE: queue, PRIORITY: priority}
    return {label: name for label, name in named.items() if name is not None}


def _trainer(run: Run, settings: KubeflowSettings) -> dict[str, Any]:
    container = trainer_container(run, settings, ())
    resources = run.container.resources
    return {
        "image": container["image"],
        "command": container["command"],
        "env": [*environment(run, settings), *node_variables(run)],
        "numNodes": resources.nodes,
        "numProcPerNode": max(1, resources.gpus),
        "resourcesPerNode": container["resources"],
    }


def _patch(run: Run, settings: KubeflowSettings, options: PodOptions) -> dict[str, Any]:
    """The run's folder and disks, who its pods are, and where they go."""
    container = trainer_container(run, settings, ())
    given = {**pod_identity(settings), **placement(run, settings, options)}
    metadata = pod_metadata(run, settings)
    metadata["labels"] |= run_labels(run, settings)
    spec = {
        **{key: given[key] for key in _PATCHABLE if key in given},
        "terminationGracePeriodSeconds": max(1, math.ceil(run.grace_s)),
        "volumes": volumes(run, settings),
        "containers": [
            {
                "name": NODE,
                "volumeMounts": container["volumeMounts"],
                "securityContext": container["securityContext"],
            }
        ],
    }
    job = {"name": NODE, "template": {"spec": {"template": {"metadata": metadata, "spec": spec}}}}
    return {
        "manager": MANAGER,
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
    }
