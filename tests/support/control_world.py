"""A control plane in a box: real store and sealer, a scripted engine, a trainer and a receiver played by the test."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from support.job_samples import GENERATION
from support.job_samples import job as sample_job
from tunegate.contract.attempt import PhaseEvent, SequencedEvent, SucceededEvent, TrainerEvent
from tunegate.contract.job import WebhookBody
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.secret import Secret, reveal_hook
from tunegate.control.courier import Courier
from tunegate.control.deliveries import new_deliveries
from tunegate.control.launching import run_name
from tunegate.control.manifest import OpenJobStore
from tunegate.control.observation import ManifestVerdict
from tunegate.control.outbound import Outbound
from tunegate.control.outbox import Outbox
from tunegate.control.reconciler import Reconciler
from tunegate.control.records import AttemptRecord, JobRecord, JobState, NewEvent
from tunegate.control.sealed import CALLBACKS, REQUEST, SealedCallbacks
from tunegate.control.sealer import Sealer
from tunegate.control.settings import ControlSettings, WebhookSettings
from tunegate.control.signing import Signer
from tunegate.control.store.protocol import JobStore, Submission
from tunegate.control.store.sqlite import SqliteStore
from tunegate.sdk.launcher import (
    Capabilities,
    EngineUnavailable,
    Launcher,
    LauncherContext,
    LaunchRefused,
    NativeRequest,
    Run,
    RunState,
    RunStatus,
)
from tunegate.sdk.testing.clock import FakeClock

UID = "uid-job-1"
WEBHOOK_URL = "https://studio.example/train-status"
STREAM_URL = "https://events.example/all"
AUTH_HEADER = "Bearer canary-of-the-webhook"


class FakeEngine(Launcher):
    """Runs are rows of a dict. Set `down`, `refuses` or `forgetful` to misbehave."""

    name = "local"

    def __init__(self, settings: Any = None, context: LauncherContext | None = None) -> None:
        self.runs: dict[str, RunStatus] = {}
        self.tokens: dict[str, str] = {}
        self.created: list[str] = []
        self.cancelled: list[str] = []
        self.cleaned: list[str] = []
        self.polls: list[list[str]] = []
        self.output: dict[str, bytes] = {}
        self.down = False
        self.refuses: str | None = None
        self.queue_depth = 64
        self.loses_answer = False
        """The next submit takes effect, but its answer is lost."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(queue_depth=self.queue_depth)

    def review(self, container: Any, options: Any) -> tuple[list[Problem], list[Ignored]]:
        return [], []

    def render(self, run: Run) -> NativeRequest:
        return NativeRequest(kind="fake", body={})

    async def submit(self, run: Run) -> None:
        self._answer()
        if self.refuses:
            raise LaunchRefused(self.refuses)
        if run.name not in self.runs:
            self.created.append(run.name)
            self.runs[run.name] = RunStatus(name=run.name, state=RunState.PENDING)
        self.tokens[run.name] = run.claim_token.reveal()
        if self.loses_answer:
            self.loses_answer = False
            raise EngineUnavailable("time-out")

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        self._answer()
        self.polls.append(list(names))
        return {name: self.runs[name] for name in names if name in self.runs}

    async def cancel(self, name: str, grace_s: float) -> None:
        self._answer()
        self.cancelled.append(name)

    async def cleanup(self, name: str) -> None:
        self._answer()
        self.cleaned.append(name)
        self.runs.pop(name, None)

    async def list_runs(self) -> list[str]:
        self._answer()
        return list(self.runs)

    async def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        self._answer()
        if name in self.output:
            yield self.output[name]

    def say(self, name: str, state: RunState, **fields: Any) -> None:
        self.runs[name] = RunStatus(name=name, state=state, **fields)

    def _answer(self) -> None:
        if self.down:
            raise EngineUnavailable("connection refused")


class Refused(Exception):
    """The address is forbidden."""


class Failed(Exception):
    """No answer."""


class Unreachable(Failed):
    """Nobody is there."""


class FakeReply(msgspec.Struct):
    status: int
    headers: dict[str, str] = {}


class FakeReceiver:
    """Answers posts with what `answer` says; keeps every request. Exceptions given as an answer are raised."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes, dict[str, str]]] = []
        self.accepted: list[bytes] = []
        self.messages: list[bytes] = []
        self.opened = 0
        self.closed = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.answer: Callable[[bytes], FakeReply | Exception] = lambda _body: FakeReply(200)
        self.hold: asyncio.Event | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> FakeReply:
        self.posts.append((url, body, dict(headers)))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.hold is not None:
                await self.hold.wait()
            return self._reply(body)
        finally:
            self.in_flight -= 1

    def _reply(self, body: bytes) -> FakeReply:
        reply = self.answer(body)
        if isinstance(reply, Exception):
            raise reply
        if reply.status < 300:
            self.accepted.append(body)
        return reply

    @asynccontextmanager
    async def websocket(self, url: str, headers: Mapping[str, str]) -> AsyncGenerator[Self]:
        self.opened += 1
        yield self
        self.closed += 1

    async def send(self, body: bytes) -> None:
        self._reply(body)
        self.messages.append(body)

    def statuses(self) -> list[str]:
        """Of the webhooks that were accepted."""
        return [msgspec.json.decode(body, type=WebhookBody).status for body in self.accepted]


class World:
    """One gateway's back, driven by hand: `settle` does all that is due, `pass_time` moves the clock."""

    def __init__(
        self,
        path: Path,
        *,
        control: ControlSettings | None = None,
        webhooks: WebhookSettings | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.path = path
        self.clock = FakeClock()
        self.control = control or ControlSettings(grace_s=10.0)
        self.webhook_settings = webhooks or WebhookSettings()
        self.signer = signer
        self.sqlite = SqliteStore(path / "jobs.db", self.clock)
        self.sqlite._generation = GENERATION
        self.store: JobStore = self.sqlite
        self.sealer = Sealer(path / "key")
        self.engine: Launcher = FakeEngine()
        self.receiver = FakeReceiver()
        self.verdict: ManifestVerdict | Exception = ManifestVerdict()
        self.open_output: OpenJobStore | None = None
        self.restart()

    def restart(self) -> None:
        """A new process on the same database: everything in memory is gone."""
        self.reconciler = Reconciler(
            store=self.store,
            launchers={"local": self.engine},
            sealer=self.sealer,
            settings=self.control,
            webhooks=self.webhook_settings,
            clock=self.clock,
            verify_manifest=self._verify,
            state_dir=self.path,
            gateway_url="http://127.0.0.1:8080",
            owner="tester",
            open_output=self.open_output,
        )
        courier = Courier(
            store=self.store,
            sealer=self.sealer,
            outbound=Outbound(
                client=self.receiver, refused=Refused, failed=Failed, unreachable=Unreachable
            ),
            settings=self.webhook_settings,
            signer=self.signer,
            clock=self.clock,
            chance=lambda: 0.0,
        )
        self.outbox = Outbox(
            store=self.store,
            courier=courier,
            settings=self.webhook_settings,
            clock=self.clock,
            owner="tester",
        )

    async def _verify(
        self, job: JobRecord, attempt: AttemptRecord, claim: SucceededEvent | None
    ) -> ManifestVerdict:
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    async def submit(self, **fields: Any) -> JobRecord:
        """Store a job with a webhook and two sealed fields."""
        plain = {"has_webhook": True, "retries_left": 2, **fields}
        record = sample_job(now_ms=self.clock.now_ms(), **plain)
        callbacks = SealedCallbacks(
            webhook_url=Secret(WEBHOOK_URL),
            auth_header=Secret(AUTH_HEADER),
            status_stream_url=Secret(STREAM_URL) if record.has_stream else None,
        )
        event = NewEvent(
            type="job.status", status="queued", phase="queued", detail="Job accepted", attempt=0
        )
        submission = Submission(
            job=record,
            sealed=await self.sealer.seal(
                record.tenant,
                record.uid,
                {
                    REQUEST: b'{"token":"canary"}',
                    CALLBACKS: msgspec.json.encode(callbacks, enc_hook=reveal_hook),
                },
            ),
            events=[event],
            deliveries=new_deliveries(record, [event], self.webhook_settings),
        )
        return (await self.sqlite.create_job(submission)).job

    async def settle(self) -> None:
        """Do all that is due, without moving the clock."""
        for _ in range(20):
            jobs = await self.reconciler.lease(10)
            for job in jobs:
                await self.reconciler.tend(job)
            deliveries = await self.outbox.lease(10)
            for delivery in deliveries:
                await self.outbox.deliver(delivery)
            if not jobs and not deliveries:
                return
        raise AssertionError("something is always due")

    async def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        """Settle after every step of the clock."""
        for _ in range(round(seconds / step_s)):
            self.clock.step(step_s)
            await self.settle()

    async def job(self, uid: str = UID) -> JobRecord:
        found = await self.sqlite.get_by_uid(uid)
        assert found is not None
        return found

    async def attempt(self, number: int = 1, uid: str = UID) -> AttemptRecord:
        found = await self.sqlite.get_attempt(uid, number)
        assert found is not None
        return found

    async def events(self, kind: str | None = None) -> list[Any]:
        return await self.sqlite.read_events(UID, 0, 500, [kind] if kind else None)


class FakeTrainer:
    """Plays the trainer of one attempt: claims, then reports."""

    def __init__(self, world: World, number: int = 1, run_uid: str = "run-uid-1") -> None:
        self.world = world
        self.run_uid = run_uid
        self.attempt_id = f"{UID}-{number}"
        self.run_name = run_name(GENERATION, UID, number)
        self.sent = 0

    async def start(self) -> bool:
        """The engine runs it, and it claims."""
        self.engine.say(self.run_name, RunState.RUNNING)
        return (await self.world.sqlite.claim_attempt(self.attempt_id, self.run_uid)).granted

    async def report(self, *events: TrainerEvent) -> None:
        items = [
            SequencedEvent(sequence=self.sent + i, at_ms=self.world.clock.now_ms(), event=event)
            for i, event in enumerate(events, 1)
        ]
        await self.world.sqlite.add_trainer_events(self.attempt_id, self.run_uid, items)
        self.sent += len(events)

    def exit(self, code: int) -> None:
        state = RunState.FAILED if code else RunState.SUCCEEDED
        self.engine.say(self.run_name, state, exit_code=code)

    @property
    def engine(self) -> FakeEngine:
        engine = self.world.engine
        assert isinstance(engine, FakeEngine)
        return engine


TRAINING = PhaseEvent(phase="training", detail="Training 240 steps")


async def launched(world: World, **fields: Any) -> FakeTrainer:
    await world.submit(**fields)
    await world.settle()
    trainer = FakeTrainer(world)
    assert await trainer.start()
    return trainer


async def running(world: World, **fields: Any) -> FakeTrainer:
    trainer = await launched(world, **fields)
    await trainer.report(TRAINING)
    await world.settle()
    assert (await world.job()).state is JobState.RUNNING
    return trainer
