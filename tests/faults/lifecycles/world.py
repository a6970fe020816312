"""A small world from a seed: jobs, three replicas, an engine, a receiver, and everything that goes wrong among them."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from faults.lifecycles.bucket import Bucket
from faults.lifecycles.checker import Evidence, violations
from faults.lifecycles.engine import Process, SimEngine
from faults.lifecycles.inline_store import InlineStore
from faults.lifecycles.receiver import SimReceiver
from faults.lifecycles.replica import WEBHOOKS, Replica, task_factory
from faults.lifecycles.trainer import SimTrainer
from faults.lifecycles.virtual import SkewedClock, VirtualLoop
from support.front import body
from support.job_samples import event, job
from tunegate.contract.attempt import SucceededEvent
from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import Secret, reveal_hook
from tunegate.control import commands, outbox, reconciler
from tunegate.control.deliveries import new_deliveries
from tunegate.control.observation import ManifestVerdict
from tunegate.control.principal import Principal
from tunegate.control.records import AttemptRecord, JobRecord
from tunegate.control.sealed import CALLBACKS, SealedCallbacks
from tunegate.control.sealer import Sealer
from tunegate.control.store.protocol import Submission
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.launcher import Run
from tunegate.sdk.redact import redacted_request
from tunegate.sdk.storage import StoreUnavailable

JOBS = 200
"""Of one world, unless it is asked for fewer."""
IDLE_S = 4.0
"""How often replicas look for work without a hint; in real life more often, which would cost this campaign most of its time."""
TROUBLED_S = 600.0
"""So long things go wrong; then they are left alone to come to rest."""
REST_S = 7200.0
ACME = Principal(name="acme")
REQUEST = redacted_request(msgspec.convert(body(), TrainRequest))


class Outcome(NamedTuple):
    """What became of a world. `trace` is a hash of all that anybody could see."""

    violations: list[str]
    trace: str
    lines: list[str]
    started: int
    """Runs that the engine started, doubles among them."""


class World:
    """`plant` changes the product before it starts: a bug that the checker must see."""

    def __init__(
        self,
        seed: int,
        folder: Path,
        sealer: Sealer,
        *,
        jobs: int = JOBS,
        plant: Callable[["World"], None] | None = None,
    ) -> None:
        self.jobs = jobs
        self.loop = VirtualLoop()
        self.loop.set_task_factory(task_factory)
        self.chance = random.Random(seed)
        self.sealer = sealer
        self.clock = SkewedClock(self.loop)
        self.store = InlineStore(self.clock)
        self.bucket = Bucket()
        self.evidence = Evidence()
        self.engine = SimEngine(self._child(), self._program)
        self.receiver = SimReceiver(self._child(), 1.0)
        self.replicas = [self._replica(f"replica{number}", folder) for number in range(3)]
        self._runs = 0
        self.patches: list[Any] = []
        """Of a planted bug: in force while the world lives."""
        if plant is not None:
            plant(self)

    def run(self) -> Outcome:
        """Live through it."""
        asyncio.set_event_loop(self.loop)
        try:
            with ExitStack() as stack:
                for patch in self.patches:
                    stack.enter_context(patch)
                self.loop.run_until_complete(self._live())
        finally:
            for replica in self.replicas:  # also where a client failed: they would go on for ever
                replica.kill()
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            asyncio.set_event_loop(None)
            self.loop.close()
        found = violations(self.store, self.evidence, self.engine, self.bucket, self.receiver)
        lines = self._lines()
        self.store.db.close()
        trace = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return Outcome(found, trace, lines, self.engine.started)

    async def _live(self) -> None:
        reconciler.IDLE_S = outbox.IDLE_S = IDLE_S
        await self.store.open()
        for replica in self.replicas:
            await replica.start()
        mischief = [self.loop.create_task(work()) for work in (self._nodes, self._gateways, self._receivers)]  # fmt: skip
        clients = [self._client(number) for number in range(self.jobs)]
        await asyncio.gather(*clients)
        await asyncio.sleep(max(0.0, TROUBLED_S - self.loop.now_s))
        for task in mischief:
            task.cancel()
        await self._rest()
        for replica in self.replicas:
            replica.kill()
        await self.engine.close()

    async def _rest(self) -> None:
        """All is well from now on; give it time."""
        self.engine._trouble = self.receiver.trouble = 0.0
        for replica in self.replicas:
            replica._trouble = 0.0
        until_s = self.loop.now_s + REST_S
        while self.loop.now_s < until_s:
            await asyncio.sleep(30.0)
            [(busy,)] = self.store.db.execute(
                "SELECT count(*) FROM job WHERE active = 1"
            ).fetchall()
            [(waiting,)] = self.store.db.execute("SELECT count(*) FROM delivery WHERE outcome IS NULL").fetchall()  # fmt: skip
            if not busy and not waiting and not self.engine.held:
                break
        await asyncio.sleep(150.0)  # what is still on its way comes, and is dealt with
        await asyncio.sleep(150.0)

    async def _client(self, number: int) -> None:
        """Submits one job; some cancel it, some in the moment of its end."""
        await asyncio.sleep(TROUBLED_S * 0.6 * self.chance.random())
        record, submission = await self._submission(number)
        while True:  # a client asks again until it is told
            try:
                await self._lossy(lambda: self.store.create_job(submission))
                break
            except TunegateError:
                await asyncio.sleep(1.0)
        self.evidence.accepted[record.uid] = record.job_id
        if self.chance.random() < 0.25:
            await asyncio.sleep(self.chance.expovariate(1 / 40))
            context: Any = _Context(self.store, self.sealer)
            with suppress(TunegateError):
                await commands.cancel(context, ACME, record.job_id)

    async def _submission(self, number: int) -> tuple[JobRecord, Submission]:
        chance = self.chance
        budget_ms = chance.choice([30_000, 600_000, 3_600_000])
        record = job(
            f"job-{number}",
            self.store.now_ms(),
            has_webhook=True,
            retries_left=2,
            budget_ms=budget_ms,
            request=REQUEST,
        )
        callbacks = SealedCallbacks(webhook_url=Secret("https://studio.example/hook"))
        plain = {CALLBACKS: msgspec.json.encode(callbacks, enc_hook=reveal_hook)}
        accepted = event()
        return record, Submission(
            job=record,
            sealed=await self.sealer.seal(record.tenant, record.uid, plain),
            events=[accepted],
            deliveries=new_deliveries(record, [accepted], WEBHOOKS),
        )

    async def _lossy(self, ask: Any) -> Any:
        if self.chance.random() < 0.05:
            raise TunegateError("unavailable")
        answer = await ask()
        if self.chance.random() < 0.05:
            raise TunegateError("unavailable")
        return answer

    async def _program(self, run: Run, process: Process) -> int:
        self._runs += 1
        context: Any = _Context(self.store, self.sealer)
        trainer = SimTrainer(
            context, self.bucket, self._child(), run, f"run-{self._runs:06d}", self._granted
        )
        uid = run.attempt_id.rpartition("-")[0]
        try:
            code = await trainer.work(process)
            if code == 0:
                self.evidence.ended_well.add((uid, run.attempt))
            return code
        finally:
            if trainer.claimed_s is not None:
                self.evidence.ran_s[uid] += self.loop.now_s - trainer.claimed_s

    def _granted(self, attempt_id: str, run_uid: str) -> None:
        self.evidence.granted.append((attempt_id, run_uid))

    async def _nodes(self) -> None:
        while True:
            await asyncio.sleep(self.chance.expovariate(1 / 60))
            self.engine.lose_a_node()

    async def _gateways(self) -> None:
        while True:
            await asyncio.sleep(self.chance.expovariate(1 / 20))
            replica = self.chance.choice(self.replicas)
            if self.chance.random() < 0.6:
                replica.freeze(self.chance.uniform(1, 100))
            else:
                replica.kill()
                await asyncio.sleep(self.chance.uniform(0, 10))
                await replica.start()

    async def _receivers(self) -> None:
        while True:
            await asyncio.sleep(self.chance.expovariate(1 / 120))
            self.receiver.down_until_s = self.loop.now_s + self.chance.uniform(1, 100)

    async def _verify(
        self, job: JobRecord, attempt: AttemptRecord, claim: SucceededEvent | None
    ) -> ManifestVerdict:
        await asyncio.sleep(0.05)
        if self.chance.random() < 0.03:
            raise StoreUnavailable("s3://b/m")
        there = self.bucket.manifests.get(job.uid)
        if there is None or there.fence != attempt.fence:
            return ManifestVerdict(problem="the manifest is another attempt's")
        return ManifestVerdict()

    def _replica(self, name: str, folder: Path) -> Replica:
        return Replica(
            name,
            loop=self.loop,
            chance=self._child(),
            store=self.store,
            engine=self.engine,
            receiver=self.receiver,
            sealer=self.sealer,
            verify=self._verify,
            folder=folder,
            trouble=1.0,
        )

    def _child(self) -> random.Random:
        return random.Random(self.chance.random())

    def _lines(self) -> list[str]:
        rows = self.store.db.execute("SELECT uid, sequence, type, body FROM job_event ORDER BY uid, sequence")  # fmt: skip
        lines = [
            f"{uid} {sequence} {kind} {bytes(text).decode()}" for uid, sequence, kind, text in rows
        ]
        lines += [f"{job_id} {taken}" for job_id, taken in sorted(self.receiver.taken.items())]
        return [*lines, f"started {self.engine.started}", f"at {self.loop.now_s:.6f}"]


class _Context:
    """The little that claims, events and cancels ask of a ControlContext."""

    jobs_url = None

    def __init__(self, store: InlineStore, sealer: Sealer) -> None:
        self.store = store
        self.sealer = sealer
