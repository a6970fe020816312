"""The images of deploy/docker, as they were built: small, without root, and they answer."""

import json
import os
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from tunegate.sdk.testing.gateway_process import free_port

from .conftest import IMAGE, SOCKETS

pytestmark = pytest.mark.engine
GATEWAY = "tunegate-test/gateway:1"
ROOT = Path(__file__).parents[3]
PINS = ROOT / "config/constraints.txt"
LARGEST_BYTES = 250 * 10**6
LOCKED = (
    "--read-only",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--tmpfs",
    "/tmp",
)


def docker(*argv: str, check: bool = True) -> str:
    command = ["docker", "-H", f"unix://{os.environ[SOCKETS['docker']]}", *argv]
    return subprocess.run(command, check=check, capture_output=True, text=True).stdout.strip()


@pytest.fixture(autouse=True)
def engine() -> None:
    if SOCKETS["docker"] not in os.environ or IMAGE not in os.environ:
        pytest.skip("no docker was started for these tests: make engine-containers")


def test_the_gateways_is_small_and_says_what_it_is() -> None:
    (image,) = json.loads(docker("image", "inspect", GATEWAY))
    assert image["Size"] < LARGEST_BYTES
    assert image["Config"]["User"] == "10001:10001"
    assert image["Config"]["Labels"]["org.opencontainers.image.title"] == "tunegate gateway"


def test_the_gateway_answers_and_ends_when_it_is_told() -> None:
    name, port, token = f"gateway-{uuid.uuid4().hex[:8]}", free_port(), uuid.uuid4().hex
    docker(
        "run", "-d", "--name", name, "--network", "host", *LOCKED,
        "--tmpfs", "/var/lib/tunegate:uid=10001,mode=700",
        "-e", f"TRAINER_API_TOKEN={token}", "-e", f"TUNEGATE_SERVER__PORT={port}",
        "-e", "TUNEGATE_SERVER__HOST=127.0.0.1", GATEWAY,
    )  # fmt: skip
    try:
        launchers = answer(f"http://127.0.0.1:{port}/launchers", token)["data"]
        assert {"container", "kubernetes", "local", "slurm"} <= {one["name"] for one in launchers}
        assert not [one for one in launchers if "pip install" in (one["error"] or "")]
        docker("stop", name)
        assert docker("inspect", "-f", "{{.State.ExitCode}}", name) == "0"
    finally:
        docker("rm", "-f", name, check=False)


@pytest.mark.parametrize("image", [GATEWAY, "tunegate-test/trainer:1"])
def test_the_program_is_there_for_nobody_in_particular(image: str) -> None:
    asks = "import os, tunegate; print(os.getuid(), tunegate.__file__)"
    said = docker("run", "--rm", "--network", "none", *LOCKED, "--entrypoint", "python", image, "-c", asks)  # fmt: skip
    assert said.startswith("10001 /opt/tunegate/")


def test_the_gateways_has_no_torch() -> None:
    asks = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('transformers'))"
    said = docker("run", "--rm", "--network", "none", *LOCKED, "--entrypoint", "python", GATEWAY, "-c", asks)  # fmt: skip
    assert said == "None None"


def answer(url: str, token: str) -> dict[str, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return json.load(response)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_the_bill_of_materials_names_what_is_inside() -> None:
    engine = {"DOCKER_HOST": f"unix://{os.environ[SOCKETS['docker']]}"}
    argv = ["make", "-s", "-C", str(ROOT), "sbom", "REPOSITORY=tunegate-test", "TAG=1"]
    subprocess.run(argv, check=True, env=os.environ | engine, timeout=300)
    pins = dict(line.split("==") for line in PINS.read_text().splitlines() if "==" in line)
    for image, pinned in {"gateway": ["litestar", "msgspec"], "trainer": ["torch", "peft"]}.items():
        bill = json.loads((ROOT / f"build/sbom/{image}.cdx.json").read_text())
        parts = {part["name"]: part["version"] for part in bill["components"] if "purl" in part}
        assert {"tunegate", "libc6", "ca-certificates"} <= set(parts)
        found = {name: parts[name].partition("+")[0] for name in pinned}
        assert found == {name: pins[name] for name in pinned}
        assert json.loads((ROOT / f"build/sbom/{image}.spdx.json").read_text())["packages"]
