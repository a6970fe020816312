"""The trainer of one run, on a network that loses, doubles, reorders and delays."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from faults.lifecycles.bucket import Bucket, Published
from faults.lifecycles.engine import Process
from tunegate.contract.attempt import (
    ClaimGrant,
    ClaimRequest,
    EventBatch,
    EventReceipt,
    FailedEvent,
    HeartbeatEvent,
    PhaseEvent,
    ProgressEvent,
    SequencedEvent,
    StoppedEvent,
    SucceededEvent,
    TrainerEvent,
)
from tunegate.control import attempts
from tunegate.control.context import ControlContext
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.launcher import Run

T = TypeVar("T")
SUPERSEDED, INTERRUPTED, UNREACHABLE, BAD_DATA, KILLED = 78, 77, 79, 67, 137
PATIENCE_S = 600.0
LATE_S = 300.0
ENDS = {"ok": 80, "user": 6, "memory": 4, "killed after publishing": 4, "silence": 6}


class Lost(Exception):
    """No answer; whether the call had its effect is unknown."""


class Superseded(Exception):
    """Another run has taken over."""


class SimTrainer:
    """Claims, works, reports, publishes. `uid` is the job's, `run_uid` its own name."""

    def __init__(
        self,
        context: ControlContext,
        bucket: Bucket,
        chance: random.Random,
        run: Run,
        run_uid: str,
        granted: Callable[[str, str], None],
    ) -> None:
        self._context = context
        self._bucket = bucket
        self._chance = chance
        self._run = run
        self._run_uid = run_uid
        self._granted = granted
        self._token = run.claim_token.reveal()
        self._unsent: list[SequencedEvent] = []
        self._count = 0
        self._stop: str | None = None
        self.claimed_s: float | None = None
        self._late: set[asyncio.Task[None]] = set()

    async def work(self, process: Process) -> int:
        """Gives the exit code."""
        try:
            grant = await self._claim()
        except TunegateError:
            return SUPERSEDED
        except Lost:
            return UNREACHABLE
        self.claimed_s = asyncio.get_running_loop().time()
        self._granted(self._run.attempt_id, self._run_uid)
        try:
            return await self._train(grant, process)
        except Superseded:
            return SUPERSEDED
        except Lost:
            return UNREACHABLE

    async def _train(self, grant: ClaimGrant, process: Process) -> int:
        loop = asyncio.get_running_loop()
        leave_by_s = loop.time() + grant.remaining_s
        end = self._chance.choices(list(ENDS), list(ENDS.values()))[0]
        steps, step_s = self._chance.randint(1, 5), self._chance.expovariate(1 / 10)
        self._say(PhaseEvent(phase="training", detail="training"))
        for step in range(1, steps + 1):
            await asyncio.sleep(min(step_s, max(0.0, leave_by_s - loop.time())))
            if end == "silence" and step == steps:
                silent_s = self._chance.uniform(30, 200)
                await asyncio.sleep(min(silent_s, max(0.0, leave_by_s - loop.time())))
            self._say(
                ProgressEvent(
                    step=step, total_steps=steps, epoch=1.0, tokens=step, tokens_per_s=1.0
                )
            )
            await self._report()
            if loop.time() >= leave_by_s:
                self._say(FailedEvent(code="deadline_exceeded", detail="the time is used up"))
                await self._report(surely=True)
                return INTERRUPTED
            if process.stop.is_set() or self._stop:
                self._say(StoppedEvent(detail="stopped", checkpoint_step=step))
                await self._report(surely=True)
                return INTERRUPTED
        if end == "user":
            self._say(FailedEvent(code="data_invalid", detail="bad row"))
            await self._report(surely=True)
            return BAD_DATA
        if end == "memory":
            return KILLED
        return await self._finish(grant, end)

    async def _finish(self, grant: ClaimGrant, end: str) -> int:
        self._say(PhaseEvent(phase="uploading", detail="uploading"))
        await self._report(surely=True)
        await asyncio.sleep(self._chance.expovariate(1 / 2))
        manifest = Published(grant.attempt, grant.fence, self._run_uid)
        if not self._bucket.publish(self._run.attempt_id.rpartition("-")[0], manifest):
            return SUPERSEDED
        if end == "killed after publishing":
            return KILLED
        self._say(SucceededEvent(manifest_uri="s3://b/m", manifest_sha256="0" * 64, detail="done"))
        await self._report(surely=True)
        return 0

    async def _claim(self) -> ClaimGrant:
        request = ClaimRequest(run_uid=self._run_uid)
        return await self._persist(
            lambda: attempts.claim(self._context, self._run.attempt_id, self._token, request)
        )

    def _say(self, event: TrainerEvent) -> None:
        self._count += 1
        now_ms = self._context.store.now_ms()
        self._unsent.append(SequencedEvent(sequence=self._count, at_ms=now_ms, event=event))

    async def _report(self, *, surely: bool = False) -> None:
        """Send what is not acknowledged. Raises Superseded, and Lost when it must not fail and does."""
        if not self._unsent:
            self._say(HeartbeatEvent())
        batches = [list(self._unsent)]
        if (
            len(self._unsent) > 1 and self._chance.random() < 0.3
        ):  # in two parts, the later one first
            middle = self._chance.randrange(1, len(self._unsent))
            batches = [self._unsent[middle:], self._unsent[:middle]]
        for batch in batches:
            if self._chance.random() < 0.05:
                self._send_late(batch)
            for _ in range(2 if self._chance.random() < 0.3 else 1):
                await self._send(batch, surely=surely)

    async def _send(self, batch: list[SequencedEvent], *, surely: bool) -> None:
        send = lambda: self._ingest(batch)  # noqa: E731
        try:
            receipt = await (self._persist(send) if surely else self._call(send))
        except Lost:
            if surely:
                raise
            return
        self._unsent = [e for e in self._unsent if e.sequence > receipt.accepted_through]
        if receipt.stop == "superseded":
            raise Superseded
        self._stop = receipt.stop or self._stop

    def _send_late(self, batch: list[SequencedEvent]) -> None:
        async def later() -> None:
            await asyncio.sleep(LATE_S * self._chance.random())
            with suppress(TunegateError):
                await self._ingest(batch)

        task = asyncio.get_running_loop().create_task(later())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _ingest(self, batch: list[SequencedEvent]) -> EventReceipt:
        return await attempts.ingest(
            self._context,
            self._run.attempt_id,
            self._token,
            EventBatch(run_uid=self._run_uid, events=batch),
        )

    async def _persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + PATIENCE_S
        while True:
            try:
                return await self._call(ask)
            except Lost:
                if loop.time() > until_s:
                    raise
            await asyncio.sleep(2)

    async def _call(self, ask: Callable[[], Awaitable[T]]) -> T:
        await asyncio.sleep(0.05 * self._chance.random())
        if self._chance.random() < 0.03:
            raise Lost
        try:
            answer = await ask()
        except TunegateError as error:
            if error.code == "unavailable":
                raise Lost from None
            raise
        if self._chance.random() < 0.03:
            raise Lost
        return answer
