"""The TrainJob of a run (trainer.kubeflow.org/v1alpha1). Pure.

A TrainJob names a runtime, says what its trainer runs (`trainer`), and what else of the pod is changed (`runtimePatches`).
What can't be patched is the runtime's business: restartPolicy, backoffLimit, priority and runtime class, image pulls.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.launchers.kube.names import annotations, queueing, run_labels
from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.pod import (
    backstop_s,
    environment,
    node_variables,
    placement,
    pod_identity,
    pod_metadata,
    trainer_container,
    volumes,
)
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.sdk.launcher import Run

API = "trainer.kubeflow.org/v1alpha1"
KIND = "TrainJob"
NODE = "node"
"""Name of the runtime's job that trains, and of its container."""
MANAGER = "tunegate.io/launcher"
_PATCHABLE = ("serviceAccountName", "imagePullSecrets", "securityContext", "nodeSelector", "tolerations")  # fmt: skip


def train_job(
    run: Run, settings: KubeflowSettings, options: PodOptions, owners: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The whole manifest."""
    return {
        "apiVersion": API,
        "kind": KIND,
        "metadata": {
            "name": run.name,
            "labels": {**run_labels(run, settings, "kubeflow"), **queueing(options, settings)},
            "annotations": annotations(run),
            "ownerReferences": list(owners),
        },
        "spec": {
            "runtimeRef": {
                "apiGroup": API.partition("/")[0],
                "kind": settings.runtime_kind,
                "name": settings.runtime,
            },
            "activeDeadlineSeconds": backstop_s(run),
            "trainer": _trainer(run, settings),
            "runtimePatches": [_patch(run, settings, options)],
        },
    }


def _trainer(run: Run, settings: KubeflowSettings) -> dict[str, Any]:
    container = trainer_container(run, settings, ())
    resources = run.container.resources
    return {
        "image": container["image"],
        "command": container["command"],
        "env": [
            *environment(run, settings),
            *node_variables(run, f"{run.name}-{NODE}-0-0.{run.name}"),
        ],
        "numNodes": resources.nodes,
        "numProcPerNode": max(1, resources.gpus),
        "resourcesPerNode": container["resources"],
    }


def _patch(run: Run, settings: KubeflowSettings, options: PodOptions) -> dict[str, Any]:
    """The run's folder and disks, who its pods are, and where they go."""
    container = trainer_container(run, settings, ())
    given = {**pod_identity(settings), **placement(run, settings, options)}
    metadata = pod_metadata(run, settings)
    metadata["labels"] |= run_labels(run, settings, "kubeflow")
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
