"""Receivers of webhooks: each gets a few deliveries at a time, and a slow one makes nobody wait but itself.

One that can't be reached at all is tried by one delivery at a time, after growing pauses; the others are put off meanwhile.
"""

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
FIRST_PAUSE_S, MOST_PAUSE_S = 0.5, 60.0
"""From one try of a receiver that can't be reached to the next; a delivery that was put off meets it within two of them."""
REMEMBERED = 10_000
"""Receivers of which the pace is kept."""


class Busy(Exception):
    """The receiver has enough to do, or can't be reached; come back in `delay_s`."""

    def __init__(self, delay_s: float, *, unreachable: bool = False) -> None:
        self.delay_s = delay_s
        self.unreachable = unreachable
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
    misses: int = 0
    """How often, one after the other, it could not be reached."""
    closed_until_s: float = 0.0
    probed: bool = False

    @property
    def pause_s(self) -> float:
        return min(FIRST_PAUSE_S * 2.0 ** min(self.misses, 32), MOST_PAUSE_S)

    def closed_s(self, now_s: float) -> float:
        """How long nobody else may try it; 0: it may be tried."""
        if self.probed:
            return self.pause_s
        return max(0.0, self.closed_until_s - now_s) if self.misses else 0.0


class Endpoints:
    """Turns by receiver. `clock_s` is monotonic."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._known: OrderedDict[Hashable, _Endpoint] = OrderedDict()

    @asynccontextmanager
    async def turn(self, endpoint: Hashable) -> AsyncGenerator[None]:
        """Wait for one of the receiver's turns. Raises Busy, at once, when too many wait already."""
        delay_s = self.delay_s(endpoint)
        here = self._find(endpoint)
        if delay_s:
            raise Busy(delay_s, unreachable=here.misses > 0)
        here.users += 1
        try:
            async with here.turns:
                began_s = self._clock_s()
                if closed_s := here.closed_s(began_s):  # it was lost while this one waited
                    raise Busy(closed_s, unreachable=True)
                probes = here.misses > 0
                here.probed |= probes
                try:
                    yield
                finally:
                    here.probed &= not probes
                    here.took_s = self._clock_s() - began_s
        finally:
            here.users -= 1

    def delay_s(self, endpoint: Hashable, ahead: int = 0) -> float:
        """How long a delivery should stay away, when so many are about to ask for a turn before it; 0: it may ask."""
        here = self._find(endpoint)
        now_s = self._clock_s()
        if closed_s := here.closed_s(now_s):
            return closed_s
        if here.misses and (here.users or ahead):
            return here.pause_s
        return self._book(here) if here.users + ahead >= PER_ENDPOINT + MOST_WAITING else 0.0

    def missed(self, endpoint: Hashable) -> None:
        """It could not be reached. Tries that were under way together count as one."""
        here, now_s = self._find(endpoint), self._clock_s()
        if now_s >= here.closed_until_s:
            here.closed_until_s = now_s + here.pause_s
            here.misses += 1

    def reached(self, endpoint: Hashable) -> None:
        """It was there, whatever it said."""
        here = self._find(endpoint)
        here.misses, here.closed_until_s = 0, 0.0

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
