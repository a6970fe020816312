"""Jobs through a real gateway on a real Slurm: to the end, on two nodes, cancelled, killed and out of time."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from integration.conftest import base_model, world
from support.api import Api
from support.bucket import BASE, DATA, open_bucket
from support.world import BUCKET, request
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server

from .conftest import RESTD

__all__ = ("base_model", "world")
pytestmark = pytest.mark.engine
LAUNCHER = """\
launchers.slurm.shared_dir = "{shared}"
launchers.slurm.slurm_conf = "{conf}"
launchers.slurm.api = "{api}"
launchers.slurm.rest_url = "{rest}"
launchers.slurm.jwt_command = ["scontrol", "token", "lifespan=600"]
launchers.slurm.python = "{python}"
launchers.slurm.setup = ["export OMP_NUM_THREADS=1 AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret}"]
control.default_launcher = "slurm"
"""


@pytest.fixture(params=["commands", "rest"])
async def api(
    request: pytest.FixtureRequest,
    world: S3Server,
    slurm_conf: str,
    tmp_path: Path,
) -> AsyncIterator[Api]:
    config = LAUNCHER.format(
        shared=tmp_path / "shared", conf=slurm_conf, api=request.param, rest=os.environ[RESTD],
        python=sys.executable, key=world.access_key, secret=world.secret_key,
    )  # fmt: skip
    async with (
        GatewayProcess(tmp_path / "gateway", world, extra_config=config) as gateway,
        Api(gateway.url, gateway.token) as client,
    ):
        yield client


def lora(job_id: str, role_arn: str, *, nodes: int = 1, **tuning: Any) -> dict[str, Any]:
    body = request(job_id, "lora", role_arn, base=BASE, data=DATA, **tuning)
    body["resources"] = {"gpus": 0, "cpus": 1, "memory_gb": 1, "nodes": nodes}
    return body


def slurm(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def queued() -> list[str]:
    return slurm("squeue", "--noheader", "--format=%i %j %T").splitlines()


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not await holds():  # noqa: ASYNC110  a cluster sends no event
            await asyncio.sleep(0.2)


async def nothing_is_left() -> bool:
    return not queued()


async def test_lora(api: Api, world: S3Server) -> None:
    await api.submit(lora("plain", world.role_arn, num_epochs=2))
    job = await api.wait("plain")
    assert (job["status"], job["launcher"], job["attempt"]) == ("succeeded", "slurm", 1), job
    _, log = await api.call("GET", "/train/plain/logs")
    assert "step" in log
    await until(nothing_is_left)


async def test_lora_on_two_nodes(api: Api, world: S3Server) -> None:
    await api.submit(lora("pair", world.role_arn, nodes=2, num_epochs=1))
    job = await api.wait("pair")
    assert job["status"] == "succeeded", job
    async with open_bucket(world) as store:
        record = json.loads(await store.read(f"s3://{BUCKET}/results/pair/training.json"))
    assert record["processes"] == 2


async def test_cancelled(api: Api, world: S3Server) -> None:
    await api.submit(lora("endless", world.role_arn, num_epochs=500))
    await api.wait("endless", status={"running"})
    await api.call("POST", "/train/endless/cancel")
    job = await api.wait("endless")
    assert job["status"] == "cancelled", job
    await until(nothing_is_left)


async def test_killed_and_resumed(api: Api, world: S3Server) -> None:
    await api.submit(lora("phoenix", world.role_arn, num_epochs=20, save_steps=10))

    async def is_saved() -> bool:
        return bool((await api.call("GET", "/train/phoenix/checkpoints"))[1]["data"])

    await until(is_saved, 90)
    (number,) = {line.split()[0] for line in queued()}
    slurm("scancel", "--signal=KILL", number)
    job = await api.wait("phoenix")
    assert (job["status"], job["attempt"]) == ("succeeded", 2), job
    events = await api.events("phoenix")
    assert any("checkpoint" in event["detail"] for event in events if event["attempt"] == 2)


async def test_out_of_time(api: Api, world: S3Server) -> None:
    body = lora("late", world.role_arn, num_epochs=2000)
    body["resources"]["max_duration_minutes"] = 1
    await api.submit(body)
    job = await api.wait("late", timeout_s=200)
    assert (job["status"], job["error"]["code"]) == ("failed", "deadline_exceeded"), job
    await until(nothing_is_left)
