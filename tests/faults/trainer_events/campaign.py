"""Many streams at once through the real front, fold, reconciler and store; only engine and clock are played."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from faults.trainer_events.oracle import Expected, expected
from faults.trainer_events.stream import Packet, Stream, Told, stream
from support.control_world import FakeEngine
from support.front import body
from support.job_samples import GENERATION, ManualClock, event, job
from tunegate.contract.attempt import ClaimRequest, EventBatch
from tunegate.contract.job import JobEvent
from tunegate.contract.request import TrainRequest
from tunegate.control import attempts
from tunegate.control.context import ControlContext
from tunegate.control.launching import claim_token, run_name
from tunegate.control.observation import ManifestVerdict
from tunegate.control.reconciler import Reconciler
from tunegate.control.records import FINAL, JobRecord
from tunegate.control.sealer import Sealer
from tunegate.control.settings import ControlSettings, WebhookSettings
from tunegate.control.store.protocol import JobStore, Submission
from tunegate.sdk.launcher import RunState
from tunegate.sdk.redact import redacted_request

COHORT = 100
REQUEST = redacted_request(msgspec.convert(body(), TrainRequest))
RANK = ["queued", "launching", "pending", "starting", "running", "uploading", "succeeded"]
"""How far a job has come; recovering begins anew."""


class _Front:
    """As much of a `ControlContext` as trainers get to see."""

    def __init__(self, store: JobStore, sealer: Sealer) -> None:
        self.store = store
        self.sealer = sealer


class Cohort:
    """A hundred jobs, in step with each other."""

    def __init__(self, store: Any, clock: ManualClock, folder: Path, seeds: range) -> None:
        self.streams = [stream(seed) for seed in seeds]
        self.chance = random.Random(seeds.start)
        self.store, self.clock = store, clock
        store._generation = GENERATION
        self.engine = FakeEngine()
        self.engine.queue_depth = 10 * COHORT
        self.sealer = Sealer(folder / "key")
        self.context = cast("ControlContext", _Front(store, self.sealer))
        self.seen: dict[str, list[JobRecord]] = {}
        self.found: list[str] = []
        self.reconciler = Reconciler(
            store=store,
            launchers={"local": self.engine},
            sealer=self.sealer,
            settings=ControlSettings(grace_s=10.0, preemption_retries=0),
            webhooks=WebhookSettings(),
            clock=clock,
            verify_manifest=_accept,
            state_dir=folder,
            gateway_url="http://127.0.0.1:1",
            owner="tester",
        )
        self._apply: Callable[..., Awaitable[JobRecord | None]] = store.apply
        store.apply = self._watched_apply

    async def run(self) -> list[str]:
        """Sentences on what went wrong."""
        try:
            await asyncio.gather(*(self._submit(one) for one in self.streams))
            for number in (1, 2):
                await self._attempts(number)
            assert await self._rest(), "not all jobs came to an end"
            await self._afterwards()
            for one in self.streams:
                self.found += [f"stream {one.seed}: {text}" for text in await self._wrong(one)]
        finally:
            self.store.apply = self._apply
        return self.found

    async def _submit(self, one: Stream) -> None:
        record = job(
            job_id=uid_of(one),
            now_ms=self.clock.now_ms(),
            retries_left=len(one.attempts) - 1,
        )
        record = msgspec.structs.replace(record, uid=uid_of(one), request=REQUEST)
        await self.store.create_job(
            Submission(job=record, sealed={}, events=[event()], deliveries=[])
        )

    async def _attempts(self, number: int) -> None:
        """The attempts of this number, where there is one: started, told in disorder, ended."""
        mine = [(one, one.attempts[number - 1]) for one in self.streams if len(one.attempts) >= number]  # fmt: skip
        for _ in range(20):
            await self._reconcile(10.0)
            waiting = [
                o
                for o, _ in mine
                if run_name(GENERATION, uid_of(o), number) not in self.engine.runs
            ]
            if not waiting:
                break
        await asyncio.gather(*(self._start(one, number) for one, _ in mine))
        scripts = [(one, self._script(one, told, number)) for one, told in mine]
        for turn in range(max((len(script) for _, script in scripts), default=0)):
            steps = [script[turn] for _, script in scripts if turn < len(script)]
            await asyncio.gather(*(step() for step in steps))
            if self.chance.random() < 0.6:
                await self._reconcile(0.3)
        await self._reconcile(3.0)
        await self._reconcile(3.0)

    def _script(self, one: Stream, told: Told, number: int) -> list[Callable[[], Awaitable[None]]]:
        """What happens, in this order: packets (of an attempt before this one too), the end, late packets."""
        packets = [(number, packet) for packet in told.packets]
        for earlier in range(1, number):
            for packet in one.attempts[earlier - 1].late:
                packets.insert(self.chance.randint(0, len(packets)), (earlier, packet))
        lost = number < len(one.attempts)
        late = [] if lost else [(number, packet) for packet in told.late]
        script = [self._sends(one, *item) for item in packets]
        script.append(self._ends(one, told, number, lost=lost))
        return script + [self._sends(one, *item) for item in late]

    def _sends(self, one: Stream, number: int, packet: Packet) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            await self._send(one, number, packet)

        return send

    def _ends(
        self, one: Stream, told: Told, number: int, *, lost: bool
    ) -> Callable[[], Awaitable[None]]:
        async def end() -> None:
            name = run_name(GENERATION, uid_of(one), number)
            if lost:
                self.engine.say(name, RunState.FAILED, failure="run_lost")
            else:
                state = RunState.FAILED if told.exit_code else RunState.SUCCEEDED
                self.engine.say(name, state, exit_code=told.exit_code)

        return end

    async def _start(self, one: Stream, number: int) -> None:
        self.engine.say(run_name(GENERATION, uid_of(one), number), RunState.RUNNING)
        attempt_id = f"{uid_of(one)}-{number}"
        token = claim_token(self.sealer, attempt_id).reveal()
        await attempts.claim(self.context, attempt_id, token, ClaimRequest(run_uid=f"run-{number}-of-it"))  # fmt: skip

    async def _send(self, one: Stream, number: int, packet: Packet) -> None:
        attempt_id = f"{uid_of(one)}-{number}"
        token = claim_token(self.sealer, attempt_id).reveal()
        batch = EventBatch(run_uid=f"run-{number}-of-it", events=packet)
        await attempts.ingest(self.context, attempt_id, token, batch)

    async def _afterwards(self) -> None:
        """All of it once more, when all is over."""
        for one in self.streams:
            if self.chance.random() < 0.2:
                number = len(one.attempts)
                for packet in self.chance.sample(one.attempts[-1].packets, 1):
                    await self._send(one, number, packet)
        await self._reconcile(5.0)
        await self._reconcile(5.0)

    async def _reconcile(self, after_s: float) -> None:
        self.clock.time_ms += int(after_s * 1000)
        for _ in range(4):
            jobs = await self.reconciler.lease(2 * COHORT)
            await asyncio.gather(*(self.reconciler.tend(one) for one in jobs))
            if not jobs:
                return

    async def _rest(self) -> bool:
        for _ in range(50):
            await self._reconcile(3.0)
            counts = (await self.store.counts()).jobs
            if all(state in {str(s) for s in FINAL} for state, n in counts.items() if n):
                return True
        return False

    async def _watched_apply(self, change: Any) -> JobRecord | None:
        written = await self._apply(change)
        if written is not None:
            self.seen.setdefault(written.uid, []).append(written)
        return written

    async def _wrong(self, one: Stream) -> list[str]:
        record = await self.store.get_by_uid(uid_of(one))
        log = await self.store.read_events(uid_of(one), 0, 5000)
        found = differences(expected(one), record, log)
        found += steps_back(self.seen.get(uid_of(one), []))
        return found + log_trouble(log)


def uid_of(one: Stream) -> str:
    return f"s{one.seed}"


def differences(wanted: Expected, record: JobRecord, log: list[JobEvent]) -> list[str]:
    """Between the naive reading and what is stored."""
    error = record.error.code if record.error is not None else None
    pairs: list[tuple[str, Any, Any]] = [
        ("state", wanted.state, str(record.state)),
        ("error", wanted.code, error),
        ("progress", wanted.progress, msgspec.to_builtins(record.progress)),
        ("notes", wanted.notes, record.notes),
        ("ignored", wanted.ignored, msgspec.to_builtins(record.ignored)),
        ("log", wanted.log, told_by_trainer(log)),
    ]
    return [f"{name} is {have}, not {want}" for name, want, have in pairs if want != have]


def told_by_trainer(log: list[JobEvent]) -> list[tuple[str, Any]]:
    """The lines that repeat the trainer's words, but for progress: many reports may share a line."""
    found: list[tuple[str, Any]] = []
    for line in log:
        data = line.data
        match line.type:
            case "job.metrics" | "job.ignored":
                found.append((line.type, data))
            case "job.note":
                found.append((line.type, line.detail))
            case "job.checkpoint":
                found.append((line.type, data["step"]))
            case "job.phase" if "phase" in data:
                found.append((line.type, data["phase"]))
            case _:
                pass
    return found


def steps_back(seen: list[JobRecord]) -> list[str]:
    """Where a job, or its progress within an attempt, was written further back than it had been."""
    found: list[str] = []
    steps: dict[int, list[int]] = {}
    for before, after in itertools.pairwise(seen):
        if before.state in FINAL and after.state is not before.state:
            found.append(f"{before.state} became {after.state}")
        elif before.attempt == after.attempt and _is_before(after.state, before.state):
            found.append(f"{before.state} went back to {after.state}")
        was, now = before.progress, after.progress
        if now is not None and (was is None or was.step != now.step):
            steps.setdefault(after.attempt, []).append(now.step)
    found += [f"the progress went {told}" for told in steps.values() if told != sorted(told)]
    return found


def _is_before(one: str, other: str) -> bool:
    return {one, other} <= set(RANK) and RANK.index(one) < RANK.index(other)


def log_trouble(log: list[JobEvent]) -> list[str]:
    """Gaps, ends that are not the end, statuses that go back."""
    found: list[str] = []
    if [line.sequence for line in log] != list(range(1, len(log) + 1)):
        found.append("the log has a gap")
    order = ["queued", "running", "succeeded", "failed"]
    ranks = [(line.attempt, order.index(line.status)) for line in log]
    if ranks != sorted(ranks):  # a new attempt queues again
        found.append(f"statuses go back: {[line.status for line in log]}")
    if sum(line.type == "job.status" and line.status in {"succeeded", "failed"} for line in log) != 1:  # fmt: skip
        found.append("it did not end once")
    return found


async def _accept(*_: object) -> ManifestVerdict:
    return ManifestVerdict()
