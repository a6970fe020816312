"""Receivers that can't be reached."""

from contextlib import suppress

import pytest

from tunegate.control.endpoints import FIRST_PAUSE_S, MOST_PAUSE_S, Busy, Endpoints


class Here:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.endpoints = Endpoints(lambda: self.now_s)

    async def miss(self) -> None:
        async with self.endpoints.turn("gone"):
            self.endpoints.missed("gone")


async def test_pauses_grow_to_a_limit_and_end_with_the_first_answer() -> None:
    here = Here()
    pauses: list[float] = []
    for _ in range(10):
        await here.miss()
        pauses.append(here.endpoints.delay_s("gone"))
        here.now_s += pauses[-1]
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == MOST_PAUSE_S
    async with here.endpoints.turn("gone"):
        here.endpoints.reached("gone")
    assert here.endpoints.delay_s("gone") == 0


async def test_one_alone_tries_it_again() -> None:
    here = Here()
    await here.miss()
    with pytest.raises(Busy) as busy:
        await here.miss()
    assert busy.value.unreachable
    here.now_s += FIRST_PAUSE_S
    async with here.endpoints.turn("gone"):
        with pytest.raises(Busy):
            await here.miss()
        assert here.endpoints.delay_s("gone") == 2 * FIRST_PAUSE_S
    assert here.endpoints.delay_s("gone") == 0
    assert here.endpoints.delay_s("gone", ahead=1) > 0


async def test_a_trial_that_is_broken_off_leaves_the_way_open() -> None:
    here = Here()
    await here.miss()
    here.now_s += FIRST_PAUSE_S
    with suppress(ValueError):
        async with here.endpoints.turn("gone"):
            raise ValueError
    assert here.endpoints.delay_s("gone") == 0


async def test_tries_that_fail_together_count_once() -> None:
    here = Here()
    for _ in range(8):
        here.endpoints.missed("gone")
    assert here.endpoints.delay_s("gone") == FIRST_PAUSE_S
    assert here.endpoints.delay_s("other") == 0
