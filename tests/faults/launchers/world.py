"""A small world from a seed: jobs, two gateways, an engine, and everything that goes wrong between them."""

import asyncio
import random
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from faults.launchers.engine import Engine, Ground
from faults.launchers.evidence import Evidence, Plan
from faults.launchers.fast import FastClock, FastLoop
from faults.launchers.gateway import Gateway
from faults.launchers.output import Output, uri_of
from faults.launchers.trainer import Trainer
from faults.launchers.weather import Weather
from faults.lifecycles.inline_store import InlineStore
from faults.lifecycles.replica import task_factory
from support.front import body
from support.job_samples import event, job
from tunegate.contract.attempt import SucceededEvent
from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.contract.request import TrainRequest
from tunegate.control import commands, reconciler
from tunegate.control.observation import ManifestVerdict
from tunegate.control.principal import Principal
from tunegate.control.records import AttemptRecord, JobRecord
from tunegate.control.sealer import Sealer
from tunegate.control.store.protocol import Submission
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.redact import redacted_request

IDLE_S = 2.0
BUSY_S = 300.0
"""Jobs come over so long, and all that time things go wrong."""
REST_S = 1800.0
BUDGET_MS = 6 * 3_600_000
ACME = Principal(name="acme")
REQUEST = redacted_request(msgspec.convert(body(), TrainRequest))
CONTAINER = ContainerSpec(
    image="tunegate/trainer:test",
    command=["python", "-m", "tunegate.trainer", "{files}/job.json"],
    resources=ResourceRequest(gpus=0, cpus=1, memory_bytes=2**30),
    files=[ContainerFile(path="job.json", content="{}")],
)


class Outcome(NamedTuple):
    """`violations` come with the log of their job."""

    violations: list[str]
    launches: int
    strikes: int
    harms: int


@dataclass(frozen=True)
class _Context:
    """The little that claims, events and cancels ask of a ControlContext."""

    store: InlineStore
    sealer: Sealer
    jobs_url: None = None


class World:
    """`plant` names one of the engine's: a bug that the checker must see."""

    def __init__(
        self, seed: int, folder: Path, sealer: Sealer, engine: Engine, jobs: int, plant: str | None = None
    ) -> None:  # fmt: skip
        self._chance = random.Random(seed)
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._sealer = sealer
        self._engine = engine
        self._jobs = jobs
        self._plant = plant
        self._evidence = Evidence(replaces=engine.replaces)
        self._weather = Weather(random.Random(seed + 1))
        self._output = Output()

    def run(self) -> Outcome:
        with ExitStack() as stack, asyncio.Runner(loop_factory=FastLoop) as runner:
            if self._plant is not None:
                stack.enter_context(self._engine.PLANTS[self._plant]())
            loop = runner.get_loop()
            loop.set_task_factory(task_factory)
            assert isinstance(loop, FastLoop)
            return runner.run(self._live(FastClock(loop)))

    async def _live(self, clock: FastClock) -> Outcome:
        reconciler.IDLE_S = IDLE_S
        self._store = store = InlineStore(clock)
        await store.open()
        self._context: Any = _Context(store, self._sealer)
        program = Trainer(self._context, self._output, self._evidence, random.Random(self._chance.random()))  # fmt: skip
        await self._engine.start(Ground(self._folder, self._weather, clock, program))
        gateways = [self._gateway(f"gateway{number}", clock) for number in range(2)]
        for gateway in gateways:
            await gateway.start()
        mischief = [
            asyncio.create_task(work) for work in (self._storms(), self._nodes(), self._kills(gateways))
        ]  # fmt: skip
        await asyncio.gather(*(self._client(number) for number in range(self._jobs)))
        await asyncio.sleep(60.0)
        for task in mischief:
            task.cancel()
        await asyncio.gather(*mischief, return_exceptions=True)
        await self._rest()
        found = self._evidence.violations(await self._all_jobs(), self._engine.left())
        found = [f"{text}{await self._story(text)}" for text in found]
        for gateway in gateways:
            await gateway.kill()
        await self._engine.close()
        launches, harms = self._evidence.starts.total(), self._evidence.harms.total()
        await store.close()
        return Outcome(found, launches, self._weather.strikes, harms)

    async def _rest(self) -> None:
        """All is well from now on; give it time."""
        self._weather.level = 0.0
        until_s = asyncio.get_running_loop().time() + REST_S
        while asyncio.get_running_loop().time() < until_s:
            await asyncio.sleep(20.0)
            if not self._busy() and not self._engine.left():
                return

    async def _client(self, number: int) -> None:
        """Submits one job; some cancel it."""
        chance = self._chance
        await asyncio.sleep(BUSY_S * chance.random())
        plan: Plan = "bad data" if chance.random() < 0.1 else "fine"
        record = self._record(number)
        self._evidence.plans[record.job_id] = plan
        await self._store.create_job(Submission(job=record, sealed={}, events=[event()], deliveries=[]))  # fmt: skip
        if chance.random() < 0.2:
            self._evidence.cancelled.add(record.job_id)
            await asyncio.sleep(chance.expovariate(1 / 30))
            with suppress(TunegateError):
                await commands.cancel(self._context, ACME, record.job_id)

    def _record(self, number: int) -> JobRecord:
        job_id = f"job-{number}"
        return job(
            job_id, self._store.now_ms(), launcher=self._engine.name, retries_left=2, budget_ms=BUDGET_MS,
            request=REQUEST, output_uri=uri_of(job_id), container=CONTAINER,
        )  # fmt: skip

    async def _storms(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 60))
            self._weather.storm(self._chance.uniform(1, 30))

    async def _nodes(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 8))
            alive = sorted(name for name, one in self._evidence.alive.items() if not one.is_over)
            if alive:
                self._evidence.harm(self._chance.choice(alive))

    async def _kills(self, gateways: list[Gateway]) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 15))
            gateway = self._chance.choice(gateways)
            await gateway.kill()
            await asyncio.sleep(self._chance.uniform(0, 10))
            await gateway.start()

    async def _verify(
        self, job: JobRecord, attempt: AttemptRecord, _claim: SucceededEvent | None
    ) -> ManifestVerdict:
        if self._output.fences.get(job.job_id) != attempt.fence:
            return ManifestVerdict(problem="the manifest is another attempt's")
        return ManifestVerdict()

    def _busy(self) -> bool:
        [(busy,)] = self._store.db.execute("SELECT count(*) FROM job WHERE active = 1").fetchall()
        return bool(busy)

    async def _all_jobs(self) -> list[JobRecord]:
        found = [await self._store.get_by_uid(f"uid-job-{number}") for number in range(self._jobs)]
        return [one for one in found if one is not None]

    async def _story(self, violation: str) -> str:
        """What the gateway noted of the job that a violation is about."""
        uid = violation.partition(":")[0]
        events = await self._store.read_events(uid, 0, 100, None)
        lines = [f"\n    {e.timestamp} {e.attempt} {e.phase}: {e.detail}" for e in events]
        return "".join(lines)

    def _gateway(self, name: str, clock: FastClock) -> Gateway:
        return Gateway(
            name,
            engine=self._engine,
            store=self._store,
            sealer=self._sealer,
            clock=clock,
            folder=self._folder,
            verify=self._verify,
            open_output=self._output.open,
        )
