"""One job on three engines: begun on Slurm, taken on by SageMaker, ended on this machine, from the same checkpoints."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engines.jobs import lora, until
from support.api import Api
from support.bucket import open_bucket
from support.sagemaker import FakeSageMaker, LocalAccount
from support.slurm import Slurmrestd
from support.slurm.bin import install
from support.world import BUCKET
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.s3]
CONFIG = """\
launchers.slurm.api = "rest"
launchers.slurm.rest_url = "{slurm}"
launchers.slurm.user = "trainer"
launchers.slurm.shared_dir = "{home}/shared"
launchers.slurm.python = "{python}"
launchers.slurm.path = "{bin}:/usr/bin:/bin"
launchers.slurm.setup = ["export OMP_NUM_THREADS=1"]
launchers.sagemaker.role_arn = "{role}"
launchers.sagemaker.s3_prefix = "s3://operator/moving/"
launchers.sagemaker.endpoint_url = "{sagemaker}"
launchers.sagemaker.logs_endpoint_url = "{sagemaker}"
launchers.sagemaker.s3_endpoint_url = "{s3}"
launchers.sagemaker.s3_path_style = true
control.default_launcher = "slurm"
"""


@pytest.fixture
async def slurm(tmp_path: Path) -> AsyncIterator[Slurmrestd]:
    async with Slurmrestd(tmp_path / "spool", version=41) as running:
        yield running


@pytest.fixture
async def sagemaker(tmp_path: Path, world: S3Server) -> AsyncIterator[FakeSageMaker]:
    world.create_bucket("operator")
    account = LocalAccount(tmp_path / "sagemaker", world)
    async with FakeSageMaker(account, grace_s=20.0) as running:
        yield running


@pytest.fixture
async def api(
    slurm: Slurmrestd, sagemaker: FakeSageMaker, world: S3Server, tmp_path: Path
) -> AsyncIterator[Api]:
    config = CONFIG.format(
        slurm=slurm.url, sagemaker=sagemaker.url, s3=world.endpoint_url, role=world.role_arn,
        home=tmp_path, python=sys.executable, bin=install(tmp_path / "bin"),
    )  # fmt: skip
    environment = {"OMP_NUM_THREADS": "1"}
    gateway = GatewayProcess(
        tmp_path / "gateway", world, extra_config=config, environment=environment
    )
    async with gateway, Api(gateway.url, gateway.token) as client:
        yield client


async def test_a_job_goes_on_elsewhere(
    api: Api, world: S3Server, slurm: Slurmrestd, sagemaker: FakeSageMaker
) -> None:
    body = lora("wanderer", world, num_epochs=40, save_steps=20)
    await api.submit(body)
    saved = await stopped_with_more_than(api, 0)
    assert len(slurm.jobs) == 1

    await moved(api, body, "sagemaker")
    saved = await stopped_with_more_than(api, saved)
    assert len(sagemaker.created) == 1

    await moved(api, body, "local")
    job = await api.wait("wanderer")
    assert (job["status"], job["launcher"], job["attempt"]) == ("succeeded", "local", 3), job
    assert job["progress"]["step"] == job["progress"]["total_steps"] > saved
    starts = {
        event["attempt"]: event["detail"]
        for event in await api.events("wanderer")
        if "checkpoint" in event["detail"] and event["phase"] not in ("queued", "cancelled")
    }
    assert set(starts) >= {2, 3}, "every later attempt goes on from what the one before had saved"
    async with open_bucket(world) as store:
        assert await store.read(f"s3://{BUCKET}/results/wanderer/manifest.json")
    await until(lambda: nothing_is_left(slurm, sagemaker, world))


async def stopped_with_more_than(api: Api, step: int) -> int:
    """Wait for a checkpoint of a later step, then cancel; the last step that is saved."""

    async def is_further() -> bool:
        return await last_saved(api) > step

    await until(is_further, 120)
    await api.call("POST", "/train/wanderer/cancel")
    job = await api.wait("wanderer")
    assert job["status"] == "cancelled", job
    return await last_saved(api)


async def last_saved(api: Api) -> int:
    _, found = await api.call("GET", "/train/wanderer/checkpoints")
    return max((one["step"] for one in found["data"]), default=0)


async def moved(api: Api, body: dict[str, Any], launcher: str) -> None:
    options = body.get("extra_parameters", {}) | {"launcher": launcher}
    elsewhere = body | {"extra_parameters": options}
    status, job = await api.call("POST", "/train/wanderer/retry", json=elsewhere)
    assert (status, job["launcher"]) == (200, launcher), job


async def nothing_is_left(slurm: Slurmrestd, sagemaker: FakeSageMaker, world: S3Server) -> bool:
    async with open_bucket(world) as store:
        objects = [info.uri async for info in store.list("s3://operator/moving/")]
    alive = [batch for batch in slurm.jobs.values() if not batch.is_over]
    return not (objects or alive or sagemaker.jobs)
