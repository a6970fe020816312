"""Lanes of gateways that are killed again and again, at numbered moments in turn and at any."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from faults.gateway_kills.checker import PATIENCE_S, violations
from faults.gateway_kills.clients import Clients
from faults.gateway_kills.gateway import MortalGateway
from faults.gateway_kills.points import KINDS, read_counts, read_label
from support.api import Api
from tunegate.sdk.testing.receiver import webhook_receiver

CLIENTS = 3
RANDOM = "random"
"""Not a numbered moment: a kill from outside, whenever."""
LONGEST_LIFE_S = 2.5
"""From the moment at which it serves. What is not reached by then will not come; the life ends all the same."""
FIRST = {"store": 200, "engine": 60, "webhook": 2000, "answer": 20}
"""How far lives reach, before any was seen."""
STRIDE = {"store": 1, "engine": 1, "webhook": 41, "answer": 1}
"""Bytes are many: every 41st, and with each round of the numbers others."""


class Aim:
    """Which moment is next: the numbers of each kind in turn, up to the last that any life has reached."""

    def __init__(self, seed: int, only: str | None = None) -> None:
        """`only` one kind of moment, or `random`: for planted bugs."""
        self._chance = random.Random(seed)
        self._only = only
        self._reached = dict(FIRST)
        self._next = {kind: self._chance.randint(1, number) for kind, number in FIRST.items()}

    def take(self) -> tuple[str | None, int, float]:
        """Kind, number, and how long to wait for it."""
        kind = self._only or self._chance.choices([*KINDS, RANDOM], [35, 20, 15, 5, 25])[0]
        if kind == RANDOM:
            return None, 0, self._chance.uniform(0.0, LONGEST_LIFE_S)
        number = self._next[kind]
        self._next[kind] = number + STRIDE[kind]
        if self._next[kind] > self._reached[kind]:
            self._next[kind] = self._chance.randint(1, STRIDE[kind])
        return kind, number, LONGEST_LIFE_S

    def learn(self, counts: dict[str, int]) -> None:
        for kind, count in counts.items():
            self._reached[kind] = max(self._reached[kind], count)


@dataclass(slots=True)
class Tally:
    """What a campaign did and found."""

    kills: Counter[str] = field(default_factory=Counter[str])
    moments: Counter[str] = field(default_factory=Counter[str])
    jobs: int = 0
    acknowledged: int = 0
    violations: list[str] = field(default_factory=list[str])

    def add(self, other: "Tally") -> None:
        self.kills += other.kills
        self.moments += other.moments
        self.jobs += other.jobs
        self.acknowledged += other.acknowledged
        self.violations += other.violations


async def lane(
    home: Path,
    kills: int,
    seed: int,
    aim: Aim,
    *,
    environment: dict[str, str] | None = None,
    plant: str | None = None,
    patience_s: float = PATIENCE_S,
) -> Tally:
    """One folder, one database: so many deaths, then a long life and the reckoning."""
    tally = Tally()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(webhook_receiver())
        gateway = MortalGateway(home, environment or {}, plant)
        await stack.enter_async_context(gateway)
        api = await stack.enter_async_context(Api(gateway.url, gateway.token))
        clients = Clients(home, api, receiver, seed)
        tasks = [asyncio.create_task(clients.run(f"c{number}")) for number in range(CLIENTS)]
        for _ in range(kills):
            tally.kills[await _life(gateway, aim, tally)] += 1
        clients.stop()
        await gateway.start()
        assert await gateway.ready() is None, gateway.log.read_text()[-3000:]
        await asyncio.gather(*tasks)
        tally.violations += await violations(home, api, clients, gateway.journal, patience_s)
        tally.jobs = len(clients.jobs)
        tally.acknowledged = sum(asked.acknowledged for asked in clients.jobs.values())
    return tally


async def _life(gateway: MortalGateway, aim: Aim, tally: Tally) -> str:
    """From birth to death; what it died of."""
    kind, number, limit_s = aim.take()
    await gateway.start(kind, number)
    status = await gateway.ready()
    if status is None:
        status = await gateway.wait(limit_s)
    if status is None:
        await gateway.kill()
    elif status != -9:
        tail = gateway.log.read_text()[-2000:]
        tally.violations.append(f"the gateway ended with {status}: {tail}")
    aim.learn(read_counts(gateway.record))
    label = read_label(gateway.record)
    if label is None:
        return RANDOM
    tally.moments[label] += 1
    return kind or RANDOM
