"""What goes wrong on the way between a launcher and its engine, from a seed."""

import asyncio
import random
from typing import Literal, NamedTuple

REFUSALS = (500, 502, 503, 429)
LATE_S = 90.0
"""Longer than any client waits: the call has its effect when nobody reckons with it any more."""
SLOW_S = 8.0
STALE_S = 15.0


class Strike(NamedTuple):
    """`refused`: with `status`, without effect. `cut`, `cut after`: no answer. `fails after`: effect, then `status`."""

    kind: Literal["fine", "refused", "cut", "cut after", "fails after"]
    status: int = 0

    @property
    def has_effect(self) -> bool:
        return self.kind not in ("refused", "cut")


class Weather:
    """`level` scales how often anything goes wrong; 0 = never."""

    def __init__(self, chance: random.Random) -> None:
        self.level = 1.0
        self.strikes = 0
        self._chance = chance
        self._storm_until_s = 0.0

    async def strike(self) -> Strike:
        """For one call, after the time that it takes to arrive."""
        chance = self._chance
        if self.happens(0.03):
            await asyncio.sleep(LATE_S * chance.random())
        elif self.happens(0.3):
            await asyncio.sleep(SLOW_S * chance.random() ** 3)
        if self._in_a_storm() and self.happens(0.7):
            return self._struck(Strike("refused", chance.choice(REFUSALS)))
        if not self.happens(0.1):
            return Strike("fine")
        kinds = (
            Strike("refused", chance.choice(REFUSALS)),
            Strike("cut"),
            Strike("cut after"),
            Strike("fails after", chance.choice((500, 504))),
        )
        return self._struck(chance.choice(kinds))

    async def trouble(self, _method: str, _path: str) -> str | int | None:
        """A strike, as `support.bad_manners` has it."""
        strike = await self.strike()
        words = {"fine": None, "refused": strike.status, "cut": "cut", "cut after": "cut after", "fails after": "after"}  # fmt: skip
        return words[strike.kind]

    def stale_s(self) -> float:
        """How old the picture is that a list shows."""
        return STALE_S * self._chance.random() if self.happens(0.08) else 0.0

    def storm(self, seconds: float) -> None:
        self._storm_until_s = asyncio.get_running_loop().time() + seconds

    def happens(self, probability: float) -> bool:
        return self._chance.random() < probability * self.level

    def between(self, low: float, high: float) -> float:
        return self._chance.uniform(low, high)

    def _in_a_storm(self) -> bool:
        return asyncio.get_running_loop().time() < self._storm_until_s

    def _struck(self, strike: Strike) -> Strike:
        self.strikes += 1
        return strike
