"""Jobs as they are sent: pure, within the published schema, and with nothing secret in them."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.contract.secret import Secret
from tunegate.launchers.kube.options import PodOptions, Toleration
from tunegate.launchers.kubernetes import KubernetesLauncher
from tunegate.launchers.kubernetes.render import job
from tunegate.launchers.kubernetes.settings import KubernetesSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import LauncherContext, Run

SETTINGS = KubernetesSettings(
    namespace="default",
    gpu_types={"A100": {"gpu": "a100"}},
    service_account="ft",
    cache_claim="models",
    tolerable_taints=["gpu"],
    priorities=["high"],
    runtime_class="nvidia",
    shm_gb=8,
)
OPTIONS = PodOptions(
    queue="team-a", priority="high", node_selector={"zone": "a"}, tolerations=[Toleration(key="gpu")]
)  # fmt: skip


def run(gpus: int = 1, nodes: int = 1) -> Run:
    return Run(
        name="tg-abc-1",
        job_id="job",
        attempt=1,
        attempt_id="uid-1",
        container=ContainerSpec(
            image="tunegate/trainer:1",
            command=["python", "-m", "tunegate.trainer", "{files}/job.json"],
            resources=ResourceRequest(gpus=gpus, gpu_type="a100", nodes=nodes),
            files=[ContainerFile(path="job.json", content="{}")],
        ),
        gateway_url="http://gw:8080",
        claim_token=Secret("canary"),
        remaining_s=3600.5,
    )


def launcher(folder: Path) -> KubernetesLauncher:
    context = LauncherContext(state_dir=str(folder), clock=SystemClock())
    return KubernetesLauncher(SETTINGS, context)


@pytest.mark.parametrize("version", ["1.31", "1.33"])
@pytest.mark.parametrize(("gpus", "nodes"), [(0, 1), (1, 1), (8, 1), (8, 2)])
@pytest.mark.parametrize("options", [PodOptions(), OPTIONS])
def test_the_published_schemas_take_it(
    gpus: int, nodes: int, options: PodOptions, version: str, tmp_path: Path
) -> None:
    one = run(gpus, nodes)
    manifest = job(one, SETTINGS, options, ())
    kubernetes_validate.validate(manifest, version, strict=True)
    spec = manifest["spec"]
    assert (spec["completions"], spec["parallelism"]) == (nodes, nodes)
    assert spec["activeDeadlineSeconds"] == 3781
    service = launcher(tmp_path).service(one)
    assert (service is None) == (nodes == 1)
    if service is not None:
        kubernetes_validate.validate(service, version, strict=True)


def test_the_schema_would_refuse_what_is_wrong() -> None:
    bad = job(run(), SETTINGS, OPTIONS, ())
    bad["spec"]["backoffLimits"] = 0
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, "1.33", strict=True)


def test_every_exit_code_of_ours_ends_the_job_and_disruptions_do_not() -> None:
    end, ignore = job(run(), SETTINGS, OPTIONS, ())["spec"]["podFailurePolicy"]["rules"]
    codes = {error.exit_code for error in CATALOGUE.values() if error.exit_code}
    assert (end["action"], set(end["onExitCodes"]["values"])) == ("FailJob", codes)
    assert end["onExitCodes"]["values"] == sorted(codes)
    assert ignore["action"] == "Ignore"
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_nodes_find_their_place(tmp_path: Path) -> None:
    one = run(8, 2)
    spec = job(one, SETTINGS, OPTIONS, ())["spec"]["template"]["spec"]
    env = {entry["name"]: entry for entry in spec["containers"][0]["env"]}
    assert env["MASTER_ADDR"]["value"] == "tg-abc-1-0.tg-abc-1"
    assert (env["WORLD_SIZE"]["value"], env["TUNEGATE_PROCESSES"]["value"]) == ("2", "8")
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert env["RANK"]["valueFrom"]["fieldRef"]["fieldPath"] == index
    service = launcher(tmp_path).service(one)
    assert service is not None
    template = job(one, SETTINGS, OPTIONS, ())["spec"]["template"]
    assert spec["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_a_run_alone_needs_no_place() -> None:
    spec = job(run(8), SETTINGS, OPTIONS, ())["spec"]["template"]["spec"]
    assert "subdomain" not in spec
    names = {entry["name"] for entry in spec["containers"][0]["env"]}
    assert not names & {"RANK", "WORLD_SIZE", "MASTER_ADDR"}


def test_kueue_is_told_queue_and_priority() -> None:
    labels = job(run(), SETTINGS, OPTIONS, ())["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "team-a"
    assert labels["kueue.x-k8s.io/priority-class"] == "high"
    manifest = job(run(), SETTINGS, PodOptions(priority="high"), ())
    assert "suspend" not in manifest["spec"], "Kueue's own to set and to clear"
    assert not any("kueue" in key for key in manifest["metadata"]["labels"])
    assert manifest["spec"]["template"]["spec"]["priorityClassName"] == "high"


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    shown: dict[str, Any] = launcher(tmp_path).render(run(8, 2)).body
    assert "canary" not in json.dumps(shown)
    assert sorted(shown) == ["configmap", "job", "service"]
