"""Canaries in every secret field of a request: none of them is found anywhere but where it belongs."""

import asyncio
import base64
import itertools
from pathlib import Path
from urllib.parse import quote

import pytest

from support.api import Api
from support.bucket import BASE, DATA
from support.world import request
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.receiver import webhook_receiver
from tunegate.sdk.testing.s3_server import S3Server

pytestmark = pytest.mark.slow
CANARY = "canary/{}+Zq7="


def encodings(secret: str) -> set[bytes]:
    """The shapes in which a secret may leak."""
    raw = secret.encode()
    return {
        raw,
        base64.b64encode(raw).rstrip(b"="),
        raw.hex().encode(),
        quote(secret, safe="").encode(),
    }


def tree_bytes(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def process_bytes(state_dir: Path) -> dict[str, bytes]:
    """Arguments and environment of every process that belongs to this gateway."""
    found: dict[str, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes()
            if str(state_dir.parent).encode() in text:
                found[f"{folder}/cmdline"] = text
                found[f"{folder}/environ"] = (folder / "environ").read_bytes()
        except OSError:
            continue
    return found


async def test_no_secret_is_left_anywhere(world: S3Server, tmp_path: Path) -> None:
    numbers = itertools.count(1)
    planted: list[str] = []

    def canary() -> str:
        planted.append(CANARY.format(next(numbers)))
        return planted[-1]

    header = canary()
    body = request("secretive", "lora", world.role_arn, base=BASE, data=DATA, num_epochs=4)
    body["base_model"] |= {"auth_token": canary(), "huggingface_token": canary()}
    body["datasets"][0]["auth"] = {
        "aws_access_key_id": world.access_key,
        "aws_secret_access_key": world.secret_key,
    }
    body["datasets"].append({"source": DATA, "format": "auto", "split": "validation", "auth": {
        "role_arn": world.role_arn, "external_id": canary()}})  # fmt: skip
    body["extra_parameters"] = {"unsloth": {"api_token": canary()}}
    haystack: dict[str, bytes] = {}
    async with (
        webhook_receiver(authorization=header) as receiver,
        GatewayProcess(
            tmp_path / "gateway", world, environment={"OMP_NUM_THREADS": "1"}
        ) as gateway,
        Api(gateway.url, gateway.token) as api,
    ):
        body["callbacks"] = {
            "webhook_url": f"{receiver.url}?key={quote(canary(), safe='')}",
            "auth_header": header,
        }
        _, dry = await api.call("POST", "/train?dry_run=true", json=body)
        haystack["dry run"] = str(dry).encode()
        _, job = await api.call("POST", "/train", json=body)
        haystack["answer"] = str(job).encode()
        await api.wait("secretive", status={"running"})
        for _ in range(20):
            haystack |= process_bytes(gateway.state_dir) | tree_bytes(gateway.home)
            await asyncio.sleep(0.05)
        job = await api.wait("secretive")
        assert job["status"] == "succeeded", job
        await receiver.wait_for("secretive", "succeeded")
        for path in ("", "/events?limit=500", "/metrics", "/logs", "/checkpoints", "/artifacts"):
            _, text = await api.call(
                "GET", f"/train/secretive{path}", headers={"Accept": "application/json"}
            )
            haystack[f"GET {path}"] = str(text).encode()
        _, text = await api.call("GET", "/metrics")
        haystack["prometheus"] = str(text).encode()
        haystack |= {
            f"webhook {i}": str(one.body).encode() for i, one in enumerate(receiver.received)
        }
        haystack |= tree_bytes(gateway.home)
    haystack |= tree_bytes(tmp_path)
    # The operator's own AWS identity is in the environment on purpose; the request's is looked for in files and answers.
    planted.append(world.secret_key)
    for place, text in haystack.items():
        for secret in planted:
            if secret == world.secret_key and place.endswith("/environ"):
                continue
            if secret == world.secret_key and str(tmp_path) not in place:
                continue
            for shape in encodings(secret):
                assert shape not in text, f"{secret} is in {place}"


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    secret = CANARY.format(0)
    for shape in encodings(secret):
        (tmp_path / "leak").write_bytes(b"before " + shape + b" after")
        assert any(shape in text for text in tree_bytes(tmp_path).values())
