"""The line to rank 0: who fails, stops or dies is known by name, and who says goodbye is not missed."""

# pyright: reportPrivateUsage=false
import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.distributed.peers import Peers
from tunegate.trainer.stop import StopFlag

WORD = "word"
LIMIT_S = 10.0


class World:
    """Rank 0 and two others in this process."""

    def __init__(self) -> None:
        self.stops = [StopFlag() for _ in range(3)]
        self.peers = [Peers(rank, 3, stop) for rank, stop in enumerate(self.stops)]

    async def meet(self) -> None:
        port = await self.peers[0].listen("127.0.0.1", WORD)
        for peer in self.peers[1:]:
            await peer.connect("127.0.0.1", port, WORD)
        await self.peers[0].all_present(LIMIT_S)

    async def failure_at(self, rank: int) -> TunegateError:
        found = await asyncio.to_thread(self.peers[rank].wait_for_failure, LIMIT_S)
        assert found is not None
        return found

    async def die(self, rank: int) -> None:
        """As a killed process would: its sockets close, without a word."""
        self.peers[rank]._leaving.set()
        for writer in self.peers[rank]._writers.values():
            writer.transport.abort()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.meet()
    yield world
    for peer in world.peers:
        await peer.leave(None)


async def test_a_failure_is_known_everywhere_by_the_name_of_its_rank(world: World) -> None:
    await world.peers[2].leave(TunegateError("out_of_memory", "no room"))
    for rank in (0, 1):
        failure = await world.failure_at(rank)
        assert (failure.code, failure.detail) == ("out_of_memory", "rank 2: no room")


async def test_a_death_is_one_too(world: World) -> None:
    await world.die(1)
    for rank in (0, 2):
        failure = await world.failure_at(rank)
        assert failure.code == "rank_lost"
        assert failure.detail.startswith("rank 1")


async def test_the_others_notice_that_rank_0_is_gone(world: World) -> None:
    await world.die(0)
    for rank in (1, 2):
        assert (await world.failure_at(rank)).detail.startswith("rank 0")


async def test_who_says_goodbye_is_not_missed(world: World) -> None:
    await world.peers[1].leave(None)
    await world.peers[2].leave(TunegateError("diverged"))
    assert (await world.failure_at(0)).code == "diverged"


async def test_a_stop_asked_of_one_is_one_for_all(world: World) -> None:
    world.stops[2].request("signal", within_s=30.0)
    async with asyncio.timeout(LIMIT_S):
        while any(stop.reason != "signal" for stop in world.stops):  # noqa: ASYNC110 (a flag of threads)
            await asyncio.sleep(0.01)
    assert 0 < world.stops[0].left_s <= 30.0


async def test_strangers_are_not_heard(world: World) -> None:
    server = world.peers[0]._server
    assert server is not None
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b'{"kind":"hello","rank":1,"word":"guess"}\n{"kind":"failed","rank":1,"code":"diverged"}\n'
    )
    assert await reader.read() == b""
    writer.close()
    assert world.peers[0].failure is None


async def test_a_main_thread_that_hangs_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunegate.trainer.distributed.peers.STUCK_S", 0.05)
    ended = threading.Event()
    world.peers[0].on_stuck = lambda _: ended.set()
    await world.die(1)
    assert await asyncio.to_thread(ended.wait, LIMIT_S)


async def test_a_rank_that_does_not_come_is_named() -> None:
    alone = Peers(0, 3, StopFlag())
    await alone.listen("127.0.0.1", WORD)
    with pytest.raises(TunegateError, match="rank 1, 2 did not come"):
        await alone.all_present(0.01)
    await alone.leave(None)
