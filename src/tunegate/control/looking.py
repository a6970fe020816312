"""Gathering what `decide` needs to know of a job."""

from dataclasses import dataclass

import msgspec

from tunegate.contract.base import Wire
from tunegate.control.engines import Engines
from tunegate.control.fold import Folded, fold
from tunegate.control.mailbox import Mailbox
from tunegate.control.observation import Observation, Situation
from tunegate.control.records import FINAL, AttemptRecord, JobRecord
from tunegate.control.settings import ControlSettings
from tunegate.control.sightings import sighted
from tunegate.control.status_reports import pass_on
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.launcher import EngineUnavailable, RunStatus

PAGE = 500
"""Trainer events folded at once."""


@dataclass(frozen=True, slots=True)
class Look:
    """A job as it was read (`base`, which guards the write), and all that is known of it now."""

    base: JobRecord
    folded: Folded | None
    now: Situation


class _Engine(Wire):
    run: RunStatus | None = None
    trouble: str | None = None


class Observer:
    """Reads the store and asks the engine."""

    def __init__(
        self,
        store: JobStore,
        engines: Engines,
        settings: ControlSettings,
        replay_window_s: float,
        mailbox: Mailbox | None = None,
    ) -> None:
        self._store = store
        self._engines = engines
        self._settings = settings
        self._replay_window_s = replay_window_s
        self._mailbox = mailbox

    async def look(self, job: JobRecord) -> Look:
        """One look at a leased job."""
        attempt = await self._store.get_attempt(job.uid, job.attempt) if job.attempt else None
        if attempt is not None and attempt.offline and attempt.ended_ms is None and self._mailbox:
            attempt = await self._mailbox.fetch(job, attempt)
        folded = await self._fold(job, attempt)
        more = folded is not None and folded.is_full(PAGE)
        engine = _Engine() if more else await self._ask(attempt)
        await self._hear(job, attempt, engine.run)
        now_ms = self._store.now_ms()
        seen = Observation(run=engine.run, trouble=engine.trouble, more_events=more)
        attempt = folded.attempt if folded else attempt
        if attempt is not None and engine.run is not None:
            noted = sighted(attempt, engine.run, now_ms)
            attempt = msgspec.structs.replace(attempt, **noted)
            seen = msgspec.structs.replace(seen, noted=noted)
        if job.state in FINAL:
            pending = await self._store.pending_deliveries(job.uid)
            since_ms = now_ms - int(self._replay_window_s * 1000)
            dead = await self._store.dead_finals(job.uid, since_ms)
            seen = msgspec.structs.replace(seen, pending_deliveries=pending, replayable_finals=dead)
        return Look(
            base=job,
            folded=folded,
            now=Situation(
                job=folded.job if folded else job,
                attempt=attempt,
                seen=seen,
                now_ms=now_ms,
                settings=self._settings,
            ),
        )

    async def _fold(self, job: JobRecord, attempt: AttemptRecord | None) -> Folded | None:
        if attempt is None or attempt.ended_ms is not None or not attempt.received_through:
            return None
        events = await self._store.read_trainer_events(
            attempt.attempt_id, attempt.folded_through, PAGE
        )
        return fold(job, attempt, events) if events else None

    async def _hear(
        self, job: JobRecord, attempt: AttemptRecord | None, run: RunStatus | None
    ) -> None:
        """What a program told its engine counts as if it had told us; it is folded at the next look."""
        if attempt is None or run is None or run.report is None:
            return
        if job.container.protocol == "kubeflow" and attempt.ended_ms is None:
            await pass_on(self._store, attempt, run.report)

    async def _ask(self, attempt: AttemptRecord | None) -> _Engine:
        if attempt is None or attempt.cleaned:
            return _Engine()
        try:
            return _Engine(run=await self._engines.status(attempt.launcher, attempt.run_name))
        except EngineUnavailable:
            trouble = f"The engine of {attempt.launcher} does not answer; the job's state is kept."
            return _Engine(trouble=trouble)
