"""The Job of a run (batch/v1, Kubernetes 1.31 and newer; 1.29 and older ones ignore a part of it), and its Service. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.launchers.kube.names import (
    CONTAINER,
    LAUNCHER,
    RUN,
    annotations,
    queueing,
    run_labels,
)
from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.pod import PORT, backstop_s, node_variables, pod_template
from tunegate.launchers.kubernetes.settings import KubernetesSettings
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import Run

API = "batch/v1"
KIND = "Job"
NAME = "kubernetes"


def job(
    run: Run,
    settings: KubernetesSettings,
    options: PodOptions,
    owners: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """One pod per node, each started once: what comes after a failure is the gateway's to decide."""
    nodes = run.container.resources.nodes
    place = node_variables(run, f"{run.name}-0.{run.name}")
    template = pod_template(
        run, settings, options, env=place, subdomain=run.name if nodes > 1 else None
    )
    template["metadata"]["labels"] |= {LAUNCHER: NAME}
    labels = run_labels(run, settings, NAME) | queueing(options, settings)
    return {
        "apiVersion": API,
        "kind": KIND,
        "metadata": {
            "name": run.name,
            "labels": labels,
            "annotations": annotations(run),
            "ownerReferences": list(owners),
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": failure_rules()},
            "activeDeadlineSeconds": backstop_s(run),
            "template": template,
        },
    }


def failure_rules() -> list[dict[str, Any]]:
    """A trainer that has spoken by its exit code has ended the run. Disruptions don't count: a pod that had not begun is made anew."""
    codes = sorted({error.exit_code for error in CATALOGUE.values() if error.exit_code})
    said = {"containerName": CONTAINER, "operator": "In", "values": codes}
    disrupted = {"type": "DisruptionTarget", "status": "True"}
    return [
        {"action": "FailJob", "onExitCodes": said},
        {"action": "Ignore", "onPodConditions": [disrupted]},
    ]


def headless_service(run: Run, settings: KubernetesSettings) -> dict[str, Any]:
    """Gives the nodes of a run names, before they are ready too: they wait for one another."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": run.name,
            "labels": run_labels(run, settings, NAME),
            "annotations": annotations(run),
            "ownerReferences": [],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {RUN: run.name},
            "ports": [{"name": "rendezvous", "port": PORT, "targetPort": PORT}],
        },
    }
