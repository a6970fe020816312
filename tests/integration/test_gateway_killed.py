"""kill -9 of the gateway in the middle of a job: the job goes on, ends once, and everybody hears of it."""

import asyncio
from pathlib import Path

import pytest

from support.api import Api
from support.bucket import BASE, DATA, open_bucket
from support.world import BUCKET, request
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.receiver import webhook_receiver
from tunegate.sdk.testing.s3_server import S3Server

pytestmark = pytest.mark.slow


def trainers_of(gateway: GatewayProcess) -> set[int]:
    """Process ids of trainers that run below this gateway's state folder."""
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"tunegate.trainer" in argv and any(str(gateway.state_dir).encode() in a for a in argv):
            found.add(int(folder.name))
    return found


@pytest.mark.parametrize("moment", ["just accepted", "training", "twice while training"])
async def test_the_job_survives_the_gateway(world: S3Server, tmp_path: Path, moment: str) -> None:
    job_id = "survivor-" + moment.rsplit(maxsplit=1)[-1]
    async with (
        webhook_receiver() as receiver,
        GatewayProcess(
            tmp_path / "gateway", world, environment={"OMP_NUM_THREADS": "1"}
        ) as gateway,
        Api(gateway.url, gateway.token) as api,
    ):
        body = request(
            f"{job_id}-{world.role_arn[-4:]}",
            "lora",
            world.role_arn,
            base=BASE,
            data=DATA,
            num_epochs=12,
        )
        job_id = body["job_id"]
        body["callbacks"] = {"webhook_url": receiver.url}
        await api.submit(body)
        if moment != "just accepted":
            await api.wait(job_id, status={"running"})
        seen: set[int] = trainers_of(gateway)
        for _ in range(2 if moment.startswith("twice") else 1):
            await gateway.kill()
            await asyncio.sleep(0)
            seen |= trainers_of(gateway)
            await gateway.start()
        job = await api.wait(job_id)
        seen |= trainers_of(gateway)
        assert job["status"] == "succeeded", job
        assert job["attempt"] == 1
        await receiver.wait_for(job_id, "succeeded")
        statuses = receiver.statuses(job_id)
        assert list(dict.fromkeys(statuses)) == ["queued", "running", "succeeded"]
        assert statuses.count("succeeded") == 1
        events = await api.events(job_id)
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        assert (
            sum(
                event["type"] == "job.status" and event["status"] == "succeeded" for event in events
            )
            == 1
        )
    assert len(seen) <= 1, "the job was run twice"
    async with open_bucket(world) as store:
        manifests = [
            o
            async for o in store.list(f"s3://{BUCKET}/results/{job_id}/")
            if o.uri.endswith("/manifest.json")
        ]
    assert len(manifests) == 1


async def test_a_clean_stop_leaves_the_job_running(world: S3Server, tmp_path: Path) -> None:
    async with (
        GatewayProcess(
            tmp_path / "gateway", world, environment={"OMP_NUM_THREADS": "1"}
        ) as gateway,
        Api(gateway.url, gateway.token) as api,
    ):
        body = request("clean-stop", "full", world.role_arn, base=BASE, data=DATA, num_epochs=6)
        await api.submit(body)
        await api.wait("clean-stop", status={"running"})
        await gateway.stop()
        assert trainers_of(gateway)
        await gateway.start()
        job = await api.wait("clean-stop")
        assert (job["status"], job["attempt"]) == ("succeeded", 1), job
