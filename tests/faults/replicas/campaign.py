"""Two gateways on one PostgreSQL; the one that holds a lease is killed or frozen, and the other must take its jobs up."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from faults.replicas.leases import Lease, Leases, StillHeld
from support.api import Api
from support.replicas import Replicas
from tunegate.control.settings import ControlSettings
from tunegate.sdk.testing.gateway_process import GatewayProcess

How = Literal["killed", "frozen"]
LEASE_S = ControlSettings().lease_s
TAKE_OVER_S = 15.0
STEADY = 6
"""Jobs that run all the time."""
SETTLED_S = 0.05
"""What a frozen gateway had sent before has taken effect by then."""
QUEUED = {"queued", "launching"}


class Campaign:
    """Trials one after the other on the same two gateways, each in turn the victim."""

    def __init__(self, replicas: Replicas, leases: Leases) -> None:
        self.catches = 0
        """How often a gateway was stopped to see whether it holds what is wanted."""
        self.short: list[str] = []
        self._replicas = replicas
        self._leases = leases
        self._chance = random.Random(17)
        self._numbers = itertools.count()

    async def begin(self) -> None:
        """Jobs that are still running when all is over."""
        for number in range(STEADY):
            await self._submit(self._replicas.gateways[number % 2], f"steady-{number}", 100_000)

    async def trial(self, how: How, *, queued: bool) -> float:
        """Seconds from the stop until the other gateway has leased every job that the stopped one held."""
        while True:
            with suppress(StillHeld):
                return await self._trial(how, queued=queued)

    async def nobody_there(self) -> float:
        """The planted bug: the other gateway takes nothing, as it is frozen too. Infinite, unless the measure is blind."""
        victim, other = self._replicas.gateways
        held = await self._catch(victim, queued=False)
        other.freeze()
        try:
            return await self._leases.passed_on(held, time.monotonic(), TAKE_OVER_S)
        finally:
            victim.thaw()
            other.thaw()

    async def end(self) -> list[str]:
        """Sentences on jobs that did not end as they should, once each and with one attempt."""
        found: list[str] = []
        gateway = self._replicas.gateways[0]
        async with Api(gateway.url, gateway.token) as api:
            for number in range(STEADY):
                status, answer = await api.call("POST", f"/train/steady-{number}/cancel")
                assert status in {200, 202}, answer
            expected = dict.fromkeys(self.short, "succeeded")
            expected |= {f"steady-{number}": "cancelled" for number in range(STEADY)}
            for job_id, status in expected.items():
                job = await api.wait(job_id)
                if (job["status"], job["attempt"]) != (status, 1):
                    found.append(f"{job_id}: {job['status']} after {job['attempt']} attempts")
                numbers = [event["sequence"] for event in await api.events(job_id)]
                if numbers != list(range(1, len(numbers) + 1)):
                    found.append(f"{job_id}: its log has a gap")
        return found

    async def _trial(self, how: How, *, queued: bool) -> float:
        victim, other = self._replicas.gateways
        if self._chance.random() < 0.5:
            victim, other = other, victim
        held = await self._catch(victim, queued=queued)
        since_s = time.monotonic()
        if how == "killed":
            await victim.kill()
        self._replicas.balance(other)
        try:
            return await self._leases.passed_on(held, since_s, TAKE_OVER_S)
        finally:
            if how == "killed":
                await victim.start()
            else:
                victim.thaw()
            self._replicas.balance(victim, other)

    async def _catch(self, victim: GatewayProcess, *, queued: bool) -> set[Lease]:
        """Stop it at a moment when it holds a job that waits to be launched, or one that runs."""
        for turn in itertools.count():
            if queued and turn % 20 == 0:
                self.short.append(f"short-{next(self._numbers)}")
                await self._submit(victim, self.short[-1], 2)
            victim.freeze()
            self.catches += 1
            before = await self._leases.held()
            await asyncio.sleep(SETTLED_S)
            held = {
                lease for lease in before & await self._leases.held() if self._fits(lease, queued)
            }
            if held:
                return held
            victim.thaw()
            await asyncio.sleep(self._chance.uniform(0.0, 0.03))
        raise AssertionError("unreachable")

    def _fits(self, lease: Lease, queued: bool) -> bool:
        return (lease.state in QUEUED) == queued

    async def _submit(self, gateway: GatewayProcess, job_id: str, steps: int) -> None:
        body = self._replicas.body(job_id, steps=steps, seconds_per_step=0.2)
        body["resources"]["max_duration_minutes"] = 24 * 60  # steady jobs outlast the campaign
        async with Api(gateway.url, gateway.token) as api:
            await api.submit(body)


@asynccontextmanager
async def campaign(home: Path, url: str) -> AsyncGenerator[Campaign]:
    async with Replicas(home, url, 2, lease_s=LEASE_S).running() as replicas, Leases(url) as leases:
        made = Campaign(replicas, leases)
        await made.begin()
        yield made
