"""The pod template of a run. Pure, and within the Pod Security Standard `restricted`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tunegate.launchers.kube.files import folder_volume
from tunegate.launchers.kube.names import CONTAINER, annotations, labels
from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.pod_states import INDEX
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.launcher import Run
from tunegate.sdk.run_files import (
    CONTAINER_FOLDER,
    WORK,
    WORK_FOLDER,
    command_of,
    container_env,
    node_env,
)

EnvVar = Mapping[str, Any]
"""`{"name", "value"}` or `{"name", "valueFrom"}`."""
FILES, WORK_VOLUME, TMP, SHM, CACHE = "files", "work", "tmp", "shm", "cache"
PORT = 29500
MARGIN_S = 60.0
"""Beyond the gateway's own deadline and grace, so that the engine's is a backstop only."""
CACHE_GROUP_POLICY = "OnRootMismatch"


def pod_template(
    run: Run,
    settings: KubeSettings,
    options: PodOptions,
    *,
    env: Sequence[EnvVar] = (),
    subdomain: str | None = None,
) -> dict[str, Any]:
    """`{metadata, spec}` for one pod of the run; `env` are further variables, such as its rank."""
    return {
        "metadata": pod_metadata(run, settings),
        "spec": pod_spec(run, settings, options, env=env, subdomain=subdomain),
    }


def pod_metadata(run: Run, settings: KubeSettings) -> dict[str, Any]:
    """The operator's labels and annotations, and ours, which win."""
    return {
        "labels": {**settings.labels, **labels(run, settings)},
        "annotations": {**settings.annotations, **annotations(run)},
    }


def pod_spec(
    run: Run,
    settings: KubeSettings,
    options: PodOptions,
    *,
    env: Sequence[EnvVar] = (),
    subdomain: str | None = None,
) -> dict[str, Any]:
    """One trainer that runs to its end once, without a token of the cluster."""
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": max(1, math.ceil(run.grace_s)),
        **pod_identity(settings),
        **placement(run, settings, options),
        "containers": [trainer_container(run, settings, env)],
        "volumes": volumes(run, settings),
    }
    if subdomain is not None:
        spec["subdomain"] = subdomain
    return spec


def trainer_container(run: Run, settings: KubeSettings, env: Sequence[EnvVar]) -> dict[str, Any]:
    """The one container."""
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": run.container.image,
        "command": command_of(run, CONTAINER_FOLDER),
        "workingDir": WORK_FOLDER,
        "env": [*environment(run, settings), *env],
        "resources": resources(run, settings),
        "volumeMounts": mounts(settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if settings.image_pull_policy is not None:
        container["imagePullPolicy"] = settings.image_pull_policy
    return container


def pod_identity(settings: KubeSettings) -> dict[str, Any]:
    """Who the pod is and what it may: nobody, and nothing."""
    user = settings.run_as_user
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "fsGroupChangePolicy": CACHE_GROUP_POLICY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if settings.service_account is not None:
        spec["serviceAccountName"] = settings.service_account
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if settings.runtime_class is not None:
        spec["runtimeClassName"] = settings.runtime_class
    return spec


def placement(run: Run, settings: KubeSettings, options: PodOptions) -> dict[str, Any]:
    """Which nodes, and before whom. The operator's labels win over the user's."""
    wanted = run.container.resources
    typed = nodes_of_type(wanted.gpu_type, settings) if wanted.gpus else None
    nodes = {**options.node_selector, **(typed or {}), **settings.node_selector}
    tolerations = [
        *settings.tolerations,
        *(
            {key: word for key, word in msgspec.to_builtins(one).items() if word is not None}
            for one in options.tolerations
        ),
    ]
    priority = options.priority or settings.priority_class
    spec: dict[str, Any] = {}
    if nodes:
        spec["nodeSelector"] = nodes
    if tolerations:
        spec["tolerations"] = [dict(one) for one in tolerations]
    if priority is not None:
        spec["priorityClassName"] = priority
    return spec


def nodes_of_type(gpu_type: str | None, settings: KubeSettings) -> dict[str, str] | None:
    """Labels of the nodes that have GPUs of a type, however it is spelled; None where the operator names none."""
    by_name = {name.lower(): nodes for name, nodes in settings.gpu_types.items()}
    return by_name.get((gpu_type or "").lower())


def node_variables(run: Run, master: str) -> list[EnvVar]:
    """A node's place. Its number is the index of its pod, which only the cluster knows; `master` is the first one's name."""
    env = node_env(run, rank="", master_addr=master, master_port=PORT)
    field = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    return [
        {"name": name, "valueFrom": field} if name == "RANK" else {"name": name, "value": value}
        for name, value in env.items()
    ]


def backstop_s(run: Run) -> int:
    """When the engine itself ends the run."""
    return math.ceil(run.remaining_s + run.grace_s + MARGIN_S)


def resources(run: Run, settings: KubeSettings) -> dict[str, Any]:
    """Memory and GPUs are held to; CPUs are only where the operator says so. Quantities are strings, as all servers take."""
    wanted = run.container.resources
    requests = {"cpu": str(wanted.cpus), "memory": str(wanted.memory_bytes)}
    limits = {"memory": str(wanted.memory_bytes)}
    if settings.cpu_limit:
        limits["cpu"] = str(wanted.cpus)
    if wanted.gpus:
        requests[settings.gpu_resource] = limits[settings.gpu_resource] = str(wanted.gpus)
    return {"requests": requests, "limits": limits}


def environment(run: Run, settings: KubeSettings) -> list[EnvVar]:
    """The container's own variables, the operator's, and where a read-only image may write."""
    ours = {WORK: WORK_FOLDER, "HOME": WORK_FOLDER}
    if settings.cache_claim is not None:
        ours["HF_HOME"] = settings.cache_folder
    given = {**settings.env, **container_env(run, CONTAINER_FOLDER), **ours}
    return [{"name": name, "value": text} for name, text in sorted(given.items())]


def volumes(run: Run, settings: KubeSettings) -> list[dict[str, Any]]:
    """The run's folder, its disk, /tmp, /dev/shm, and the cache where there is one."""
    work = {"sizeLimit": f"{settings.work_gb}Gi"} if settings.work_gb else {}
    shm = {"sizeLimit": f"{settings.shm_gb}Gi"} if settings.shm_gb else {}
    all_: list[dict[str, Any]] = [
        folder_volume(run, FILES),
        {"name": WORK_VOLUME, "emptyDir": work},
        {"name": TMP, "emptyDir": work},
        {"name": SHM, "emptyDir": {"medium": "Memory", **shm}},
    ]
    if settings.cache_claim is not None:
        claim = {"claimName": settings.cache_claim}
        all_.append({"name": CACHE, "persistentVolumeClaim": claim})
    return all_


def mounts(settings: KubeSettings) -> list[dict[str, Any]]:
    """Where the trainer finds them."""
    all_: list[dict[str, Any]] = [
        {"name": FILES, "mountPath": CONTAINER_FOLDER, "readOnly": True},
        {"name": WORK_VOLUME, "mountPath": WORK_FOLDER},
        {"name": TMP, "mountPath": "/tmp"},  # noqa: S108  the pod's own
        {"name": SHM, "mountPath": "/dev/shm"},  # noqa: S108
    ]
    if settings.cache_claim is not None:
        all_.append({"name": CACHE, "mountPath": settings.cache_folder})
    return all_
