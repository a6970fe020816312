import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tunegate.control.endpoints import MOST_WAITING, PER_ENDPOINT, Busy, Endpoints


class Crowd:
    """Deliveries to receivers; `gate` keeps those that have a turn."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.endpoints = Endpoints(lambda: self.now_s)
        self.gate = asyncio.Event()
        self.inside = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def send(self, endpoint: str) -> None:
        async with self.endpoints.turn(endpoint):
            self.inside += 1
            await self.gate.wait()
            self.inside -= 1

    async def many(self, endpoint: str, count: int) -> None:
        self.tasks += [asyncio.create_task(self.send(endpoint)) for _ in range(count)]
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    here = Crowd()
    yield here
    here.gate.set()
    await asyncio.gather(*here.tasks)


async def test_a_receiver_gets_a_few_at_a_time_and_others_do_not_wait_for_it() -> None:
    async with crowd() as here:
        await here.many("slow", PER_ENDPOINT + 3)
        assert here.inside == PER_ENDPOINT
        await here.many("other", 1)
        assert here.inside == PER_ENDPOINT + 1
    assert here.inside == 0


async def test_the_rest_is_put_off_at_the_pace_of_the_receiver() -> None:
    async with crowd() as here:
        await here.many("slow", PER_ENDPOINT)
        here.now_s = 10.0
        here.gate.set()
        await asyncio.gather(*here.tasks)
        here.gate.clear()
        await here.many("slow", PER_ENDPOINT + MOST_WAITING)
        delays: list[float] = []
        for _ in range(100):
            with pytest.raises(Busy) as busy:
                await here.send("slow")
            delays.append(busy.value.delay_s)
        assert delays[:3] == [6.0, 11.0, 16.0]
        assert delays[-1] == 300.0


async def test_what_was_put_off_can_come_when_the_crowd_is_gone() -> None:
    async with crowd() as here:
        await here.many("slow", PER_ENDPOINT + MOST_WAITING)
        with pytest.raises(Busy):
            await here.send("slow")
        here.gate.set()
        await asyncio.gather(*here.tasks)
        await here.send("slow")
