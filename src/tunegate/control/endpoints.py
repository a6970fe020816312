"""Receivers of webhooks: each gets a few deliveries at a time, and a slow one makes nobody wait but itself."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PER_ENDPOINT = 2
"""Deliveries in flight at once to one receiver."""
MOST_WAITING = 8
"""So many more wait for a turn in memory; further ones are put off."""
LEAST_DELAY_S, MOST_DELAY_S = 1.0, 300.0
REMEMBERED = 10_000
"""Receivers of which the pace is kept."""


class Busy(Exception):
    """The receiver has enough to do; come back in `delay_s`."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        super().__init__(f"busy for {delay_s:.1f} s")


@dataclass(slots=True)
class _Endpoint:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PER_ENDPOINT))
    users: int = 0
    """In flight or waiting."""
    took_s: float = 0.0
    """How long the last try took."""
    booked_until_s: float = 0.0
    """Up to here its turns are promised to deliveries that were put off."""


class Endpoints:
    """Turns by receiver. `clock_s` is monotonic."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._known: OrderedDict[Hashable, _Endpoint] = OrderedDict()

    @asynccontextmanager
    async def turn(self, endpoint: Hashable) -> AsyncGenerator[None]:
        """Wait for one of the receiver's turns. Raises Busy, at once, when too many wait already."""
        here = self._find(endpoint)
        if here.users >= PER_ENDPOINT + MOST_WAITING:
            raise Busy(self._book(here))
        here.users += 1
        try:
            async with here.turns:
                began_s = self._clock_s()
                try:
                    yield
                finally:
                    here.took_s = self._clock_s() - began_s
        finally:
            here.users -= 1

    def _find(self, endpoint: Hashable) -> _Endpoint:
        here = self._known.setdefault(endpoint, _Endpoint())
        self._known.move_to_end(endpoint)
        if len(self._known) > REMEMBERED:
            oldest = next(iter(self._known))
            if not self._known[oldest].users:
                del self._known[oldest]
        return here

    def _book(self, here: _Endpoint) -> float:
        """Seconds until the receiver, at its pace, should have a turn for one more; those put off come back apart."""
        now_s = self._clock_s()
        after_s = max(here.booked_until_s, now_s + LEAST_DELAY_S) + here.took_s / PER_ENDPOINT
        here.booked_until_s = min(after_s, now_s + MOST_DELAY_S)
        return here.booked_until_s - now_s
