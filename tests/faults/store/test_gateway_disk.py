"""A disk that fails below the whole gateway, at every operation in turn: 503, nothing claimed that is not kept, and it goes
on in the same process as soon as the disk does.
"""

import copy
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from faults.http.gateway import HEADERS
from faults.report import rounds, write
from faults.store.faulty_disk import (
    Fault,
    FaultyDisk,
    all_fail,
    disk_full,
    faulty_disk,
    syncs_fail,
    writes_fail,
)
from support.asgi import Answered, call
from support.job_samples import attempt
from support.world import CANONICAL
from tunegate.control.records import JobState
from tunegate.control.store.protocol import Change
from tunegate.control.store.sqlite import writer
from tunegate.gateway import Gateway
from tunegate.settings import load

pytestmark = [
    pytest.mark.slow,
    # SQLite can't hand on an error that it meets while it closes; apsw reports the planted ones this way.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FAULTS = (disk_full, writes_fail, syncs_fail, all_fail)
STRIDE = rounds(19, 1)
TOKEN = "hostile-campaign-token"
VIEWS = ("", "/events", "/webhooks", "/metrics", "/checkpoints")


@dataclass
class Client:
    """Does what clients and trainers do, and knows what it was promised."""

    gateway: Gateway
    promised: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    violations: list[str] = field(default_factory=list[str])
    refused: int = 0

    async def life(self, job_id: str) -> None:
        """One job; goes on as far as the disk allows."""
        kept = self.promised.setdefault(job_id, set())
        if await self._said(await self._call("POST", "/train", self._body(job_id)), {201}):
            kept.add("job")
        await self._look(job_id)
        if "job" not in kept:
            return
        attempt_id, token = await self._launch(job_id)
        if attempt_id is None:
            return
        claim = {"run_uid": f"run-of-{job_id}"}
        target = f"/internal/attempts/{attempt_id}"
        if await self._said(await self._call("POST", f"{target}/claim", claim, token), {200}):
            kept.add("claim")
            word = {"sequence": 1, "at_ms": 1, "event": {"kind": "note", "text": "a word"}}
            batch = claim | {"events": [word]}
            if await self._said(await self._call("POST", f"{target}/events", batch, token), {200}):
                kept.add("word")
        if await self._said(await self._call("POST", f"/train/{job_id}/cancel"), {200}):
            kept.add("cancel")
        await self._look(job_id)

    async def ask_again(self, job_id: str) -> None:
        """The same job once more, on a sound disk: it is there, or it is made now."""
        there = {200} if "job" in self.promised[job_id] else {200, 201}
        if not await self._said(await self._call("POST", "/train", self._body(job_id)), there):
            self.violations.append(f"{job_id}: it was refused on a sound disk")
        self.promised[job_id].add("job")

    def _body(self, job_id: str) -> dict[str, Any]:
        return copy.deepcopy(CANONICAL) | {"job_id": job_id}

    async def _look(self, job_id: str) -> None:
        """Readers too answer, or say that they can't now."""
        # A checkpoint that fails behind a commit makes it a refusal too; who asks again finds the job.
        there = {200} if "job" in self.promised[job_id] else {200, 404}
        for view in VIEWS:
            await self._said(await self._call("GET", f"/train/{job_id}{view}"), there)
        await self._said(await self._call("GET", "/train?limit=5"), {200})
        await self._said(await self._call("GET", "/readyz"), {200})

    async def _launch(self, job_id: str) -> tuple[str | None, str]:
        """What the reconciler would do; None when the disk does not let it."""
        store, token = self.gateway._store, f"token-of-{job_id}"
        try:
            job = await store.get_job("default", job_id)
            assert job is not None
            record = attempt(job, token_hash=self.gateway._sealer.token_hash(token))
            fields = {"state": JobState.LAUNCHING, "attempt": 1}
            change = Change(uid=job.uid, version=job.version, fields=fields, new_attempt=record)
            changed = await store.apply(change)
        except Exception as error:  # noqa: BLE001 - the store has one way to say it
            if getattr(error, "code", "") != "unavailable":
                self.violations.append(f"{job_id}: {error!r} from the store")
            return None, token
        return (record.attempt_id if changed is not None else None), token

    async def _call(
        self, method: str, target: str, body: Any = None, token: str = TOKEN
    ) -> Answered:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = HEADERS | {"authorization": f"Bearer {token}", "accept": "application/json"}
        return await call(self.gateway.app, method, target, headers, raw)

    async def _said(self, answer: Answered, good: set[int]) -> bool:
        """Whether it went well. Anything but that or a well-formed 503 is a violation."""
        if answer.status in good:
            return True
        if answer.status == 503 and int(answer.headers.get("retry-after", "0")) > 0:
            self.refused += 1
        else:
            self.violations.append(f"{answer.status} for one of {good}: {answer.body[:200]!r}")
        return False

    async def broken_promises(self) -> list[str]:
        """What was answered with success and is not in the store."""
        found: list[str] = []
        store = self.gateway._store
        for job_id, kept in self.promised.items():
            job = await store.get_job("default", job_id)
            if job is None:
                found += [f"{job_id} was promised and is lost"] if kept else []
                continue
            tried = await store.get_attempt(job.uid, 1)
            facts = {
                "job": len(await store.read_events(job.uid, 0, 10)) >= 1,
                "claim": tried is not None and tried.claimed_by is not None,
                "word": tried is not None and tried.received_through == 1,
                "cancel": job.desired == "stop",
            }
            found += [f"{job_id}: {what} was promised" for what in kept if not facts[what]]
        return found


@asynccontextmanager
async def client(folder: Path) -> AsyncGenerator[Client]:
    environment = {
        "TUNEGATE_STATE_DIR": str(folder),
        "TRAINER_API_TOKEN": TOKEN,
        "TUNEGATE_SERVER__ACCESS_LOG": "false",
        "TUNEGATE_LAUNCHERS__LOCAL__CPU_FALLBACK": "true",
    }
    gateway = Gateway(*load(None, environment))
    object.__setattr__(gateway._control, "trouble", lambda: None)  # its loops do not run here
    await gateway._store.open()
    try:
        yield Client(gateway)
    finally:
        await gateway._store.close()


async def every_operation(asked: Client, disk: FaultyDisk, fault: Fault, stride: int) -> int:
    """The fault begins at each operation of a job's life in turn, and the disk heals after it; how many there were."""
    operation = 0
    while True:
        disk.hits = 0
        disk.fail_from(disk.operations + operation, fault)
        await asked.life(f"{fault.__name__}-{operation}")
        met = disk.hits > 0
        disk.heal()
        await asked.ask_again(f"{fault.__name__}-{operation}")
        refused = asked.refused
        await asked.life(f"{fault.__name__}-{operation}-after")
        if asked.refused != refused:
            asked.violations.append(f"{fault.__name__} {operation}: it does not go on")
        if not met:
            return operation
        operation += stride


async def test_the_gateway_on_a_failing_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # a traceback for each planted fault
    found: list[str] = []
    tried: dict[str, int] = {}
    refused = 0
    with faulty_disk(reads=True) as disk:
        for fault in FAULTS:
            async with client(tmp_path / fault.__name__) as asked:
                last = await every_operation(asked, disk, fault, STRIDE)
                tried[fault.__name__] = last // STRIDE
                found += asked.violations + await asked.broken_promises()
                refused += asked.refused
        caught = await a_swallowed_error_is_seen(tmp_path / "bug", disk)
    write(
        "disk-faults",
        sum(tried.values()),
        found,
        planted_bug_caught=caught,
        operations=tried,
        answers_503=refused,
    )
    assert found == []
    assert caught
    assert min(tried.values()) > 2


async def a_swallowed_error_is_seen(folder: Path, disk: FaultyDisk) -> bool:
    """The planted bug: a writer that takes an error of the commit for a success."""
    usual = writer.Writer._write

    def careless(self: writer.Writer, batch: list[Any]) -> None:
        usual(self, batch)
        for request in batch:
            request.error = None if request.result is not None else request.error

    with pytest.MonkeyPatch.context() as patch:
        async with client(folder) as asked:
            patch.setattr(writer.Writer, "_write", careless)
            disk.fail_from(disk.operations + 1, syncs_fail)
            await asked.life("planted")
            disk.heal()
            return "planted was promised and is lost" in await asked.broken_promises()
