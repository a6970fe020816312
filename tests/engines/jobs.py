"""`EngineJobs`: jobs through a real gateway on a real engine: to the end, on two nodes, cancelled, killed and out of time."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from support.api import Api
from support.bucket import BASE, DATA, open_bucket
from support.world import BUCKET, request
from tunegate.sdk.testing.s3_server import S3Server


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not await holds():  # noqa: ASYNC110  an engine sends no event
            await asyncio.sleep(0.2)


def lora(job_id: str, s3: S3Server, *, nodes: int = 1, **tuning: Any) -> dict[str, Any]:
    """A request of the small world, with the S3 server's keys."""
    body = request(job_id, "lora", s3.role_arn, base=BASE, data=DATA, **tuning)
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
    for part in (body["datasets"][0], body["artifacts"]):
        part["auth"] = keys
    body["resources"] = {"gpus": 0, "cpus": 1, "memory_gb": 1, "nodes": nodes}
    return body


class EngineJobs(ABC):
    """A subclass gives the fixtures `api` and `world`, and says how to look behind the gateway."""

    launcher: ClassVar[str]
    several_nodes: ClassVar[bool] = True

    @abstractmethod
    async def kill(self) -> None:
        """End the one run that there is, as if somebody had sent SIGKILL."""

    @abstractmethod
    async def left(self) -> list[str]:
        """What the engine still has of the gateway's."""

    async def cleared(self) -> None:
        async def nothing_is_left() -> bool:
            return not await self.left()

        await until(nothing_is_left)

    async def resumed_after(
        self, trouble: Callable[[], Awaitable[None]], api: Api, world: S3Server
    ) -> None:
        """The trouble comes when there is a checkpoint; a second attempt goes on from there."""
        await api.submit(lora("phoenix", world, num_epochs=20, save_steps=10))

        async def is_saved() -> bool:
            return bool((await api.call("GET", "/train/phoenix/checkpoints"))[1]["data"])

        await until(is_saved, 90)
        await trouble()
        job = await api.wait("phoenix")
        assert (job["status"], job["attempt"]) == ("succeeded", 2), job
        events = await api.events("phoenix")
        assert any("checkpoint" in event["detail"] for event in events if event["attempt"] == 2)
        await self.cleared()

    async def test_lora(self, api: Api, world: S3Server) -> None:
        await api.submit(lora("plain", world, num_epochs=2))
        job = await api.wait("plain")
        assert (job["status"], job["launcher"], job["attempt"]) == ("succeeded", self.launcher, 1), job  # fmt: skip
        _, log = await api.call("GET", "/train/plain/logs")
        assert "step" in log
        async with open_bucket(world) as store:
            manifest = json.loads(await store.read(f"s3://{BUCKET}/results/plain/manifest.json"))
        assert "adapter_model.safetensors" in {file["path"] for file in manifest["files"]}
        await self.cleared()

    async def test_lora_on_two_nodes(self, api: Api, world: S3Server) -> None:
        if not self.several_nodes:
            pytest.skip("this engine has one node")
        await api.submit(lora("pair", world, nodes=2, num_epochs=1))
        job = await api.wait("pair")
        assert job["status"] == "succeeded", job
        async with open_bucket(world) as store:
            record = json.loads(await store.read(f"s3://{BUCKET}/results/pair/training.json"))
        assert record["processes"] == 2
        await self.cleared()

    async def test_cancelled(self, api: Api, world: S3Server) -> None:
        await api.submit(lora("endless", world, num_epochs=500))
        await api.wait("endless", status={"running"})
        await api.call("POST", "/train/endless/cancel")
        job = await api.wait("endless")
        assert job["status"] == "cancelled", job
        await self.cleared()

    async def test_killed_and_resumed(self, api: Api, world: S3Server) -> None:
        await self.resumed_after(self.kill, api, world)

    async def test_out_of_time(self, api: Api, world: S3Server) -> None:
        body = lora("late", world, num_epochs=2000)
        body["resources"]["max_duration_minutes"] = 1
        await api.submit(body)
        job = await api.wait("late", timeout_s=200)
        assert (job["status"], job["error"]["code"]) == ("failed", "deadline_exceeded"), job
        await self.cleared()
