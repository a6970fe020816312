"""A gateway waits for its database, and says why."""

from typing import Any, cast

import pytest

from tunegate.control.store.errors import StoreUnsafe, unavailable
from tunegate.control.store.opening import open_patiently
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.errors import TunegateError


class Clock:
    """Sleeps at once."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        self.now_s += delay_s


class Store:
    """Does not open before so many tries."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.tries = 0

    async def open(self) -> None:
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)


def refused(words: str) -> TunegateError:
    error = unavailable()
    error.__cause__ = OSError(words)
    return error


async def opened(store: Store, wait_s: float) -> list[str]:
    told: list[str] = []
    await open_patiently(cast("JobStore", cast("Any", store)), wait_s, Clock(), told.append)
    return told


async def test_each_new_reason_is_told_once() -> None:
    store = Store(refused("no such\nhost"), refused("no such\nhost"), refused("starting up"))
    told = await opened(store, 60.0)
    assert [reason.rpartition("(")[2] for reason in told] == ["no such host)", "starting up)"]
    assert store.tries == 4


async def test_it_ends_when_the_time_is_over() -> None:
    store = Store(*[refused("refused")] * 100)
    with pytest.raises(TunegateError):
        await opened(store, 10.0)
    assert store.tries == 11


async def test_without_a_wait_there_is_one_try() -> None:
    store = Store(refused("refused"))
    with pytest.raises(TunegateError):
        await opened(store, 0.0)
    assert store.tries == 1


async def test_nobody_waits_for_an_unsafe_store() -> None:
    store = Store(StoreUnsafe("synchronous is off"))
    with pytest.raises(StoreUnsafe):
        await opened(store, 60.0)
    assert store.tries == 1
