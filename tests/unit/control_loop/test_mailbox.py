"""Runs that do not call back: the grant goes with the launch, claim and events are fetched."""

from pathlib import Path

import msgspec
import pytest

from support.control_world import UID, FakeEngine, World
from support.job_samples import GENERATION
from support.situations import SUCCEEDED
from support.world import ROOT
from tunegate.contract.attempt import (
    ClaimGrant,
    ClaimRequest,
    PhaseEvent,
    ProgressEvent,
    SequencedEvent,
    TrainerEvent,
)
from tunegate.contract.secret import decode_hook
from tunegate.contract.training import StoragePolicy
from tunegate.control.launching import run_name
from tunegate.control.records import JobRecord, JobState
from tunegate.control.sealed import REQUEST
from tunegate.control.sealer import KEY
from tunegate.control.store.protocol import Change
from tunegate.sdk.launcher import Capabilities, Run, RunState
from tunegate.sdk.mailbox import claim_uri, events_uri, mailbox
from tunegate.sdk.storage import ObjectStore, StoreUnavailable
from tunegate.storage.file import FileStore

NAME = run_name(GENERATION, UID, 1)
TRAINING = PhaseEvent(phase="training", detail="Training 240 steps")


class IslandEngine(FakeEngine):
    """Its runs reach nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.grants: dict[str, ClaimGrant] = {}
        self.forgotten: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(calls_back=False)

    async def submit(self, run: Run) -> None:
        await super().submit(run)
        assert run.grant is not None
        self.grants[run.name] = msgspec.json.decode(
            run.grant.reveal(), type=ClaimGrant, dec_hook=decode_hook
        )

    async def claimed(self, name: str) -> None:
        self.forgotten.append(name)


class Island:
    """A gateway, an engine that is cut off, and the folder in which both meet."""

    def __init__(self, path: Path) -> None:
        self.engine = IslandEngine()
        self.world = World(path)
        self.world.engine = self.engine
        self.store_trouble: Exception | None = None
        self.output = f"file://{path}/out/job-1/"
        self.files = FileStore(StoragePolicy(file_roots=[str(path)]))
        self.world.open_output = self._open
        self.world.restart()

    async def _open(self, job: JobRecord) -> ObjectStore:
        if self.store_trouble is not None:
            raise self.store_trouble
        return self.files

    async def launched(self) -> None:
        job = await self.world.submit(output_uri=self.output, has_secrets=True)
        request = (ROOT / "config" / "jobs" / "canonical.json").read_bytes()
        key = await self.world.sqlite.get_sealed(job.uid, KEY)
        sealed = await self.world.sealer.seal(job.tenant, job.uid, {REQUEST: request}, key)
        await self.world.sqlite.apply(Change(uid=UID, version=job.version, sealed=sealed))
        await self.world.settle()
        self.engine.say(NAME, RunState.RUNNING)

    async def claim(self, run_uid: str = "run-uid-1") -> None:
        content = msgspec.json.encode(ClaimRequest(run_uid=run_uid))
        await self.files.write(claim_uri(self.output, 1), content)

    async def say(self, first: int, *events: TrainerEvent) -> None:
        lines = [
            msgspec.json.encode(SequencedEvent(sequence=first + i, at_ms=1, event=event))
            for i, event in enumerate(events)
        ]
        await self.files.write(events_uri(self.output, 1, first), b"\n".join(lines))

    async def left(self) -> set[str]:
        prefix = mailbox(self.output, 1)
        return {info.uri.removeprefix(prefix) async for info in self.files.list(prefix)}


@pytest.fixture
async def island(tmp_path: Path) -> Island:
    island = Island(tmp_path)
    await island.world.sqlite.open()
    return island


async def test_the_whole_way(island: Island) -> None:
    await island.launched()
    grant = island.engine.grants[NAME]
    attempt = await island.world.attempt()
    assert (grant.fence, grant.attempt) == (attempt.fence, 1)
    assert attempt.claimed_by is None
    await island.world.pass_time(5)
    assert (await island.world.job()).state is JobState.STARTING
    await island.claim()
    await island.say(1, TRAINING)
    progress = ProgressEvent(step=1, total_steps=240, epoch=0.1, tokens=9, tokens_per_s=9.0)
    await island.say(2, progress, progress)
    await island.world.pass_time(5)
    job, attempt = await island.world.job(), await island.world.attempt()
    assert job.state is JobState.RUNNING
    assert attempt.folded_through == 3
    assert attempt.fence == grant.fence
    assert island.engine.forgotten == [NAME]
    assert await island.left() == {"claim.json"}
    await island.say(4, SUCCEEDED)
    island.engine.say(NAME, RunState.SUCCEEDED, exit_code=0)
    await island.world.pass_time(5)
    assert (await island.world.job()).state is JobState.SUCCEEDED


async def test_trouble_of_the_store_changes_nothing(island: Island) -> None:
    await island.launched()
    await island.claim()
    await island.say(1, TRAINING)
    await island.world.pass_time(5)
    assert (await island.world.job()).state is JobState.RUNNING
    island.store_trouble = StoreUnavailable("gone fishing")
    await island.world.pass_time(600, step_s=10)
    assert (await island.world.job()).state is JobState.RUNNING
    island.store_trouble = None
    await island.say(2, PhaseEvent(phase="uploading", detail="Uploading"))
    await island.world.pass_time(5)
    assert (await island.world.job()).state is JobState.UPLOADING


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"sequence": 2, "at_ms": 1, "event": {"kind": "heartbeat"}}',
        b'{"sequence": 1, "at_ms": 1, "event": {"kind": "progress", "step": -1, "total_steps": 1, "epoch": 0, "tokens": 0, "tokens_per_s": 0}}',
        b'{"sequence": 1, "at_ms": 1, "event": {"kind": "heartbeat"}}\n' * 2,
    ],
    ids=["empty", "bytes", "deep", "number", "negative", "doubled"],
)
async def test_what_no_trainer_writes_is_left_alone(island: Island, content: bytes) -> None:
    await island.launched()
    await island.claim()
    await island.files.write(events_uri(island.output, 1, 1), content)
    await island.world.pass_time(5)
    assert (await island.world.attempt()).received_through == 0
    assert (await island.world.job()).state is JobState.STARTING


async def test_the_first_claim_stays(island: Island) -> None:
    await island.launched()
    await island.claim("run-uid-1")
    await island.world.pass_time(5)
    await island.claim("run-uid-2")
    await island.world.pass_time(5)
    assert (await island.world.attempt()).claimed_by == "run-uid-1"
