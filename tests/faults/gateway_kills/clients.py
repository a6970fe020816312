"""Clients of a gateway that keeps dying: they submit until they are acknowledged, under the same job_id, and note what they were told."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from support.api import FINAL, Api
from tunegate.sdk.testing.receiver import WebhookReceiver

PAUSE_S = 0.03


@dataclass(slots=True)
class Asked:
    """What a client wants of one job, and what it was told."""

    wanted: str
    """The status in which it is to end: succeeded or failed; `cancelled` where that was asked for."""
    acknowledged: bool = False
    cancelled: bool = False
    """The cancel was acknowledged."""
    told: list[str] = field(default_factory=list[str])
    """Statuses by webhook, in the order of their acceptance."""

    @property
    def is_over(self) -> bool:
        return bool(FINAL & set(self.told))


class Clients:
    """Each has one job at a time."""

    def __init__(self, home: Path, api: Api, receiver: WebhookReceiver, seed: int) -> None:
        self.jobs: dict[str, Asked] = {}
        self.wrong: list[str] = []
        self._home = home
        self._api = api
        self._receiver = receiver
        self._chance = random.Random(seed)
        self._read = 0
        self._over = False

    async def run(self, name: str) -> None:
        """Job after job, until `stop`."""
        number = 0
        while not self._over:
            number += 1
            await self._live_through(f"{name}-{number}")

    def stop(self) -> None:
        """No new jobs."""
        self._over = True

    def listen(self) -> None:
        """Take over what has arrived at the receiver."""
        for received in self._receiver.received[self._read :]:
            if received.answered < 300 and received.body.job_id in self.jobs:
                self.jobs[received.body.job_id].told.append(received.body.status)
        self._read = len(self._receiver.received)

    async def _live_through(self, job_id: str) -> None:
        kind = self._chance.choices(["succeeded", "failed", "cancelled"], [70, 15, 15])[0]
        job = self.jobs[job_id] = Asked(kind)
        body = self._body(job_id, kind)
        if not await self._insist(job_id, "POST", "/train", {200, 201}, json=body):
            return
        job.acknowledged = True
        if kind == "cancelled":
            await asyncio.sleep(self._chance.uniform(0.0, 1.0))
            job.cancelled = await self._insist(
                job_id, "POST", f"/train/{job_id}/cancel", {200, 202}
            )
        elif self._chance.random() < 0.2:
            await self._insist(job_id, "POST", "/train", {200}, json=body)
        while not job.is_over and not self._over:
            await asyncio.sleep(PAUSE_S)
            self.listen()

    async def _insist(
        self, job_id: str, method: str, path: str, good: set[int], **more: Any
    ) -> bool:
        """Ask until the answer is one that counts."""
        while True:
            status, answer = 0, None
            with suppress(aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(5):
                    status, answer = await self._api.call(method, path, **more)
            if status in good:
                return True
            if status not in {0, 503}:
                self.wrong.append(f"{job_id}: {method} was answered {status}: {answer}")
                return False
            await asyncio.sleep(PAUSE_S)

    def _body(self, job_id: str, kind: str) -> dict[str, Any]:
        steps, pause_s = self._chance.randint(1, 3), self._chance.choice([0.0, 0.02, 0.2])
        options: dict[str, Any] = {"steps": steps, "seconds_per_step": pause_s}
        if kind == "failed":
            options |= {"fail_code": "data_invalid", "exit_code": 67}
        return {
            "job_id": job_id,
            "backend": "echo",
            "base_model": {"provider": "huggingface", "model_name": "a/b"},
            "customization": {"method": "lora"},
            "resources": {"gpus": 0, "cpus": 1, "memory_gb": 1, "max_duration_minutes": 10},
            "datasets": [{"source": f"file://{self._home}/rows.jsonl", "format": "auto"}],
            "artifacts": {"output_uri": f"file://{self._home}/out"},
            "callbacks": {"webhook_url": self._receiver.url},
            "extra_parameters": options,
        }
