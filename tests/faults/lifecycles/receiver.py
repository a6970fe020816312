"""Who gets the webhooks: down for a while, and sometimes its answer is lost though it took the message."""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec

from tunegate.contract.job import WebhookBody


class Refused(Exception):
    """The address is forbidden."""


class Failed(Exception):
    """No answer."""


class Reply(msgspec.Struct):
    status: int
    headers: dict[str, str] = {}


class SimReceiver:
    """`taken` is what it has accepted, by job."""

    def __init__(self, chance: random.Random, trouble: float) -> None:
        self._chance = chance
        self.trouble = trouble
        self.down_until_s = 0.0
        self.taken: dict[str, list[tuple[int, str]]] = {}

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        await asyncio.sleep(0.1 * self._chance.random())
        loop = asyncio.get_running_loop()
        if loop.time() < self.down_until_s or self._happens(0.05):
            raise Failed("connection refused")
        if self._happens(0.05):
            return Reply(503)
        told = msgspec.json.decode(body, type=WebhookBody)
        self.taken.setdefault(told.job_id, []).append((told.sequence, told.status))
        if self._happens(0.03):
            raise Failed("the answer was lost")
        return Reply(200)

    @asynccontextmanager
    async def websocket(self, url: str, headers: Mapping[str, str]) -> AsyncGenerator[None]:
        raise Failed("no WebSockets here")
        yield

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability * self.trouble
