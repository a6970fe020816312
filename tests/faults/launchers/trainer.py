"""The program of a run: claims, reports, publishes; by the gateway or by what lies beside the output."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import msgspec

from faults.launchers.evidence import Evidence
from faults.launchers.output import Output
from faults.launchers.process import Files, Process
from tunegate.contract.attempt import (
    ClaimGrant,
    ClaimRequest,
    EventBatch,
    FailedEvent,
    PhaseEvent,
    ProgressEvent,
    SequencedEvent,
    StoppedEvent,
    SucceededEvent,
    TrainerEvent,
)
from tunegate.contract.training import AttemptTicket
from tunegate.control import attempts
from tunegate.sdk.errors import CATALOGUE, TunegateError
from tunegate.sdk.run_files import GRANT_FILE, TICKET_FILE, TOKEN_FILE

_CODE = {
    name: CATALOGUE[name].exit_code or 1 for name in ("superseded", "interrupted", "data_invalid")
}
NO_FILES = 2


class Superseded(Exception):
    """Another run has the attempt."""


@dataclass(frozen=True)
class Trainer:
    """A `Program`. `context` is the little of a ControlContext that claims and events ask for."""

    context: Any
    output: Output
    evidence: Evidence
    chance: random.Random

    async def __call__(self, files: Files, process: Process) -> int:
        try:
            ticket = msgspec.json.decode(files[TICKET_FILE], type=AttemptTicket)
        except (KeyError, msgspec.MsgspecError):
            return NO_FILES
        run_uid = f"run-{self.chance.getrandbits(64):016x}"
        self.evidence.started(ticket.attempt_id, process)
        try:
            grant = await self._claim(ticket, files, run_uid)
            self.evidence.granted[ticket.attempt_id].add(run_uid)
            token = files.get(TOKEN_FILE, b"").decode()
            return await self._train(_Work(self, ticket, grant, run_uid, token), process)
        except (Superseded, TunegateError):
            return _CODE["superseded"]

    async def _claim(self, ticket: AttemptTicket, files: Files, run_uid: str) -> ClaimGrant:
        request = ClaimRequest(run_uid=run_uid)
        if ticket.grant_file is None:
            token = files[TOKEN_FILE].decode()
            return await attempts.claim(self.context, ticket.attempt_id, token, request)
        if GRANT_FILE not in files or not self.output.claim(ticket, request):
            raise Superseded
        return msgspec.json.decode(files[GRANT_FILE], type=ClaimGrant)

    async def _train(self, work: "_Work", process: Process) -> int:
        steps, step_s = self.chance.randint(1, 4), self.chance.uniform(0.5, 12)
        await work.say(PhaseEvent(phase="training", detail="training"))
        for step in range(1, steps + 1):
            await asyncio.sleep(step_s)
            progress = ProgressEvent(step=step, total_steps=steps, epoch=1.0, tokens=step, tokens_per_s=1.0)  # fmt: skip
            await work.say(progress)
            if process.asked.is_set() or work.stop:
                await work.say(StoppedEvent(detail="stopped", checkpoint_step=step))
                return _CODE["interrupted"]
        if self.evidence.plan(work.ticket.job_id) == "bad data":
            await work.say(FailedEvent(code="data_invalid", detail="bad row"))
            return _CODE["data_invalid"]
        if not self.output.publish(work.ticket, work.grant.fence):
            raise Superseded
        await work.say(SucceededEvent(manifest_uri="s3://b/m", manifest_sha256="0" * 64, detail="done"))  # fmt: skip
        return 0


@dataclass
class _Work:
    """One claimed attempt's words."""

    trainer: Trainer
    ticket: AttemptTicket
    grant: ClaimGrant
    run_uid: str
    token: str
    count: int = 0
    stop: str | None = None

    async def say(self, event: TrainerEvent) -> None:
        self.count += 1
        at_ms = self.trainer.context.store.now_ms()
        events = [SequencedEvent(sequence=self.count, at_ms=at_ms, event=event)]
        if self.ticket.grant_file is not None:
            self.trainer.output.leave(self.ticket, events)
            return
        batch = EventBatch(run_uid=self.run_uid, events=events)
        context, attempt_id = self.trainer.context, self.ticket.attempt_id
        receipt = await attempts.ingest(context, attempt_id, self.token, batch)
        if receipt.stop == "superseded":
            raise Superseded
        self.stop = receipt.stop
