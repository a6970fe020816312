"""What the chart renders: as recorded, valid for several clusters, and taken by the gateway."""

import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from chart.conftest import CHART, ROOT, VALUES, Manifest, Render, of_kind
from tunegate.settings import load

GOLDEN = ROOT / "tests/golden/chart"
FOREIGN = {"HTTPRoute", "LocalQueue", "PrometheusRule", "ServiceMonitor"}
"""Of other APIs, whose schemas are not Kubernetes's own."""
Helm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("values", VALUES, ids=lambda file: file.stem)
def test_as_recorded(values: Path, render: Render) -> None:
    """`UPDATE_GOLDEN=1` records anew."""
    manifests = render("--values", str(values))
    for manifest in of_kind(manifests, "ConfigMap"):
        if manifest["metadata"]["name"].endswith("-dashboard"):
            manifest["data"] = {"tunegate.json": "…"}
    for secret in of_kind(manifests, "Secret"):
        secret["data"] = sorted(secret["data"])  # their values are drawn anew each time
    for rule in of_kind(manifests, "PrometheusRule"):
        rule["spec"] = "…"
    text = yaml.safe_dump_all(manifests, sort_keys=True, width=160)
    golden = GOLDEN / f"{values.stem}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert golden.read_text() == text


@pytest.mark.parametrize("kube", ["1.27", "1.30", "1.33", "1.35"])
def test_valid_for_the_cluster(manifests: list[Manifest], kube: str) -> None:
    for manifest in manifests:
        if manifest["kind"] not in FOREIGN:
            kubernetes_validate.validate(manifest, kube, strict=True)


def test_helm_itself_finds_nothing(run_helm: Helm) -> None:
    for values in VALUES:
        done = run_helm("lint", "--strict", str(CHART), "--values", str(values))
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_gateway_takes_its_settings(manifests: list[Manifest], tmp_path: Path) -> None:
    config = next(m for m in of_kind(manifests, "ConfigMap") if "gateway.toml" in m["data"])
    file = tmp_path / "gateway.toml"
    file.write_text(config["data"]["gateway.toml"])
    settings, _ = load(file, {"TRAINER_API_TOKEN": "t" * 32})
    assert settings.server.host == "0.0.0.0"
    assert settings.state_dir == "/var/lib/tunegate"
    service = of_kind(manifests, "Service")[-1]["metadata"]["name"]
    assert settings.server.public_url == f"http://{service}.tunegate.svc:8080"
    assert settings.control.default_launcher in settings.launchers


def test_the_operators_settings_win(render: Render) -> None:
    manifests = render("--set", "config.server.port=9999", "--set-json", 'config.launchers={"kubernetes":{"namespace":"elsewhere"}}')  # fmt: skip
    values = tomllib.loads(of_kind(manifests, "ConfigMap")[0]["data"]["gateway.toml"])
    assert values["server"]["port"] == 9999
    assert values["launchers"]["kubernetes"]["namespace"] == "elsewhere"
    assert values["launchers"]["kubernetes"]["instance"] == "tg-tunegate"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("replicas=2", "several gateways need PostgreSQL"),
        ("persistence.enabled=false", "SQLite needs a volume"),
        ("database.kind=external", "name the Secret that holds the URL"),
        ("database.kind=mysql", "must be one of"),
        ("ingress.enabled=true", "name at least one host"),
        ("gatewayApi.enabled=true", "name the Gateway"),
        ("drainSeconds=60", "must be longer than drainSeconds"),
        ("replica=2", "additional properties 'replica' not allowed"),
        ("image.tags=x", "additional properties 'tags' not allowed"),
        ("config.server.prot=80", "additional properties 'prot' not allowed"),
        ("config.control.lease_s=soon", "want number"),
    ],
)
def test_what_can_not_work_is_refused(run_helm: Helm, argument: str, sentence: str) -> None:
    done = run_helm("template", "tg", str(CHART), "--set", argument)
    assert done.returncode != 0
    assert sentence in done.stderr


def test_an_old_cluster_is_given_what_it_knows(run_helm: Helm) -> None:
    done = run_helm("template", "tg", str(CHART), "--kube-version", "1.20.2", "--set", "replicas=2", "--set", "database.kind=bundled")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "policy/v1beta1" in done.stdout


def test_secrets_are_made_once_and_given_ones_are_left_alone(render: Render) -> None:
    made = {m["metadata"]["name"] for m in of_kind(render("--set", "database.kind=bundled"), "Secret")}  # fmt: skip
    assert made == {"tg-tunegate-auth", "tg-tunegate-keys", "tg-tunegate-postgresql"}
    given = render("--set", "auth.existingSecret=a,keys.existingSecret=k,database.kind=external,database.external.existingSecret=d")  # fmt: skip
    assert of_kind(given, "Secret") == []
