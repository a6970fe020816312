import asyncio

import pytest

from tunegate.control.turns import Turns
from tunegate.sdk.errors import TunegateError


class Work:
    """Holds its turn until it is let go."""

    def __init__(self, turns: Turns, tenant: str) -> None:
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._run(turns, tenant))

    async def _run(self, turns: Turns, tenant: str) -> None:
        async with turns.take(tenant):
            self.began.set()
            await self.go.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_at_once_the_next_wait_in_order_and_then_no_more() -> None:
    turns = Turns(at_once=2, waiting=1)
    first, second, third = (Work(turns, "a") for _ in range(3))
    await settle()
    assert [one.began.is_set() for one in (first, second, third)] == [True, True, False]
    with pytest.raises(TunegateError, match="Too many") as refused:
        await Work(turns, "a").task
    assert (refused.value.code, refused.value.retry_after_s) == ("unavailable", 1.0)
    other = Work(turns, "b")
    await settle()
    assert other.began.is_set(), "tenants do not wait for each other"
    second.go.set()
    await settle()
    assert third.began.is_set()
    for one in (first, third, other):
        one.go.set()
    await asyncio.gather(first.task, second.task, third.task, other.task)
    assert not turns._lines, "nothing is kept of tenants that are through"


async def test_who_gives_up_while_waiting_leaves_the_line() -> None:
    turns = Turns(at_once=1, waiting=1)
    first, second = Work(turns, "a"), Work(turns, "a")
    await settle()
    second.task.cancel()
    await asyncio.gather(second.task, return_exceptions=True)
    third = Work(turns, "a")
    first.go.set()
    await settle()
    assert third.began.is_set()
    third.go.set()
    await asyncio.gather(first.task, third.task)
