"""What a run becomes, launcher by launcher. `UPDATE_GOLDEN=1 pytest tests/golden` writes the files anew."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from golden.launcher_cases import METHODS, SIZES, golden_run
from tunegate.contract.secret import redact_hook
from tunegate.launchers.container import ContainerLauncher
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.launchers.kubeflow import KubeflowLauncher
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.launchers.kubernetes import KubernetesLauncher
from tunegate.launchers.kubernetes.settings import KubernetesSettings
from tunegate.launchers.ray import RayLauncher
from tunegate.launchers.ray.settings import RaySettings
from tunegate.launchers.sagemaker import SageMakerLauncher
from tunegate.launchers.sagemaker.settings import SageMakerSettings
from tunegate.launchers.slurm import SlurmLauncher
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import Launcher, LauncherContext

HERE = Path(__file__).parent / "launchers"
CONTEXT = LauncherContext(state_dir="/var/lib/tunegate", clock=SystemClock())


def slurm() -> Launcher:
    settings = SlurmSettings(
        shared_dir="/shared/tunegate", user="tunegate", gpu_types={"A100": "gpu:a100"}
    )
    return SlurmLauncher(settings, CONTEXT)


def kubeflow() -> Launcher:
    settings = KubeflowSettings(
        namespace="training", gpu_types={"A100": {"nvidia.com/gpu.product": "A100"}}
    )
    return KubeflowLauncher(settings, CONTEXT)


def kubernetes() -> Launcher:
    settings = KubernetesSettings(
        namespace="training", gpu_types={"A100": {"nvidia.com/gpu.product": "A100"}}
    )
    return KubernetesLauncher(settings, CONTEXT)


def container() -> Launcher:
    settings = ContainerSettings(
        socket="/run/docker.sock",
        gpus=[str(number) for number in range(8)],
        gpu_type="A100",
        cpus=64,
        memory_gb=512,
    )
    return ContainerLauncher(settings, CONTEXT)


def ray() -> Launcher:
    return RayLauncher(RaySettings(address="http://ray-head:8265"), CONTEXT)


def sagemaker() -> Launcher:
    settings = SageMakerSettings(
        role_arn="arn:aws:iam::123456789012:role/training",
        s3_prefix="s3://operator/tunegate/",
        region="eu-west-1",
        image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/trainer:1",
    )
    return SageMakerLauncher(settings, CONTEXT)


LAUNCHERS: dict[str, Callable[[], Launcher]] = {
    "container": container,
    "kubeflow": kubeflow,
    "kubernetes": kubernetes,
    "ray": ray,
    "sagemaker": sagemaker,
    "slurm": slurm,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", LAUNCHERS)
def test_request(name: str, method: str, size: str) -> None:
    run = golden_run(method, size)
    launcher = LAUNCHERS[name]()
    problems, _ = launcher.review(run.container, run.options)
    if not launcher.capabilities.multi_node and run.container.resources.nodes > 1:
        assert [problem.path for problem in problems] == ["$.resources.nodes"]
        return
    assert not problems
    seen = msgspec.to_builtins(launcher.render(run), enc_hook=redact_hook)
    assert run.claim_token.reveal() not in json.dumps(seen)
    golden = HERE / f"{name}-{method}-{size}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(seen, indent=2, sort_keys=True) + "\n")
    assert seen == json.loads(golden.read_text())
