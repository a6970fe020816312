"""The chart, rendered by the real helm."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/tunegate"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
OWN = ROOT / "build/engines/helm/bin"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


@pytest.fixture(scope="session")
def helm() -> str:
    found = shutil.which("helm", path=f"{OWN}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("no helm here: deploy/engines/helm/get.sh build/engines/helm/bin")
    return found


@pytest.fixture(scope="session")
def run_helm(helm: str) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([helm, *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def render(run_helm: Callable[..., "subprocess.CompletedProcess[str]"]) -> Render:
    """The manifests of the release `tg` in the namespace `tunegate`."""

    def rendered(*arguments: str, kube: str = "1.33.0") -> list[Manifest]:
        done = run_helm(
            *("template", "tg", str(CHART), "--namespace", "tunegate", "--kube-version", kube),
            *arguments,
        )
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    return rendered


@pytest.fixture(scope="session", params=VALUES, ids=lambda file: file.stem)
def manifests(request: pytest.FixtureRequest, render: Render) -> list[Manifest]:
    """Once for each file of values."""
    return render("--values", str(request.param))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Of everything that runs, by kind and name."""
    found: dict[str, Manifest] = {}
    for manifest in manifests:
        spec = manifest.get("spec", {})
        pod = spec if manifest["kind"] == "Pod" else spec.get("template", {}).get("spec")
        if isinstance(pod, dict) and "containers" in pod:
            found[f"{manifest['kind']}/{manifest['metadata']['name']}"] = pod
    return found
