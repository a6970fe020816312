"""TrainJobs as they are sent: pure, within the published schema, and with nothing secret in them."""

import copy
import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.contract.secret import Secret
from tunegate.launchers.kube.options import PodOptions, Toleration
from tunegate.launchers.kubeflow import KubeflowLauncher
from tunegate.launchers.kubeflow.render import train_job
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext, Run

from .schema import problems_of

SETTINGS = KubeflowSettings(
    namespace="default",
    gpu_types={"A100": {"gpu": "a100"}},
    service_account="ft",
    image_pull_secrets=["registry"],
    cache_claim="models",
    tolerable_taints=["gpu"],
    priorities=["high"],
    shm_gb=8,
)
OPTIONS = PodOptions(
    queue="team-a", priority="high", node_selector={"zone": "a"}, tolerations=[Toleration(key="gpu")]
)  # fmt: skip


def run(gpus: int = 1, nodes: int = 1, **container: Any) -> Run:
    resources = ResourceRequest(gpus=gpus, gpu_type="a100", nodes=nodes)
    return Run(
        name="tg-abc-1",
        job_id="job",
        attempt=1,
        attempt_id="uid-1",
        container=ContainerSpec(
            image="tunegate/trainer:1",
            command=["python", "-m", "tunegate.trainer", "{files}/job.json"],
            resources=resources,
            files=[ContainerFile(path="job.json", content="{}")],
            **container,
        ),
        gateway_url="http://gw:8080",
        claim_token=Secret("canary"),
        remaining_s=3600.5,
    )


def rendered(one: Run, options: PodOptions = OPTIONS) -> dict[str, Any]:
    return train_job(one, SETTINGS, options, ())


@pytest.mark.parametrize("protocol", ["attempt", "kubeflow"])
@pytest.mark.parametrize(("gpus", "nodes"), [(0, 1), (1, 1), (8, 1), (8, 2)])
@pytest.mark.parametrize("options", [PodOptions(), OPTIONS])
def test_the_published_schema_takes_it(
    gpus: int, nodes: int, options: PodOptions, protocol: Any
) -> None:
    job = rendered(run(gpus, nodes, protocol=protocol), options)
    assert problems_of(job) == []
    assert job["spec"]["trainer"]["numNodes"] == nodes
    assert job["spec"]["trainer"]["numProcPerNode"] == max(1, gpus)
    assert job["spec"]["activeDeadlineSeconds"] == 3781


def test_the_schema_would_refuse_what_is_wrong() -> None:
    good = rendered(run())
    for path, value in [
        (("metadata", "name"), "0-begins-with-a-digit"),
        (("spec", "trainer", "numNodes"), "2"),
        (("spec", "trainer", "env"), [{"name": "PET_NNODES", "value": "2"}]),
        (("spec", "activeDeadlineSeconds"), 0),
        (("spec", "podTemplateOverrides"), []),
    ]:
        bad = copy.deepcopy(good)
        target = bad
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        assert problems_of(bad), path


def merged_pod(one: Run) -> dict[str, Any]:
    """What the controller makes of the runtime and our patch; it is a pod like any other."""
    job = rendered(one)
    (patch,) = job["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    template = node["template"]["spec"]["template"]
    trainer = job["spec"]["trainer"]
    (container,) = template["spec"]["containers"]
    whole = {key: trainer[key] for key in ("image", "command", "env")}
    spec = {
        **template["spec"],
        "containers": [{**container, **whole, "resources": trainer["resourcesPerNode"]}],
    }
    metadata = {"name": "p", **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("nodes", [1, 2])
def test_its_pods_are_sound_and_restricted(nodes: int) -> None:
    pod = merged_pod(run(8, nodes))
    kubernetes_validate.validate(pod, "1.33", strict=True)
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert all(volume.keys() & {"emptyDir", "persistentVolumeClaim", "projected"} for volume in spec["volumes"])  # fmt: skip
    assert spec["nodeSelector"] == {"zone": "a", "gpu": "a100"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]


def test_nodes_find_their_place() -> None:
    env = {one["name"]: one for one in rendered(run(8, 2))["spec"]["trainer"]["env"]}
    assert env["MASTER_ADDR"]["value"] == "tg-abc-1-node-0-0.tg-abc-1"
    assert (env["WORLD_SIZE"]["value"], env["TUNEGATE_PROCESSES"]["value"]) == ("2", "8")
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert env["RANK"]["valueFrom"]["fieldRef"]["fieldPath"] == index
    alone = {one["name"] for one in rendered(run(8))["spec"]["trainer"]["env"]}
    assert not alone & {"RANK", "WORLD_SIZE", "MASTER_ADDR"}


def test_kueue_is_told_queue_and_priority() -> None:
    labels = rendered(run())["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "team-a"
    assert labels["kueue.x-k8s.io/priority-class"] == "high"
    assert "suspend" not in rendered(run())["spec"], "Kueue's own to set and to clear"
    assert not any("kueue" in key for key in rendered(run(), PodOptions())["metadata"]["labels"])


def test_a_program_that_reports_is_told_where_to() -> None:
    env = {
        one["name"]: one.get("value")
        for one in rendered(run(protocol="kubeflow"))["spec"]["trainer"]["env"]
    }
    assert str(env["KUBEFLOW_TRAINER_SERVER_URL"]).endswith("/trainjobs/uid-1/status")
    assert env["KUBEFLOW_TRAINER_SERVER_TOKEN"] == "/tunegate/files/claim-token"


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    launcher = KubeflowLauncher(
        SETTINGS, LauncherContext(state_dir=str(tmp_path), clock=SystemClock())
    )
    assert "canary" not in json.dumps(launcher.render(run()).body)


def test_what_a_trainjob_cant_say_is_refused_at_the_start(tmp_path: Path) -> None:
    context = LauncherContext(state_dir=str(tmp_path), clock=SystemClock())
    with pytest.raises(ValueError, match="training runtime"):
        KubeflowLauncher(KubeflowSettings(namespace="default", runtime_class="gvisor"), context)
