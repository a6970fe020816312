"""Doing what `decide` asks for: the effect where there is one, then the guarded write."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tunegate.contract.attempt import SucceededEvent
from tunegate.contract.secret import Secret, reveal_hook
from tunegate.control.actions import (
    Action,
    CancelRun,
    CleanUp,
    Finish,
    Launch,
    Move,
    Submit,
    VerifyManifest,
)
from tunegate.control.attempts import grant_of
from tunegate.control.engines import Engines, bounded
from tunegate.control.finishing import KEEP_LOG_TIMEOUT_S, keep_log
from tunegate.control.launching import intended_attempt, run_of
from tunegate.control.lifecycle import decide
from tunegate.control.looking import Look
from tunegate.control.manifest import VerifyManifest as Verify
from tunegate.control.observation import ManifestVerdict
from tunegate.control.pacing import later
from tunegate.control.records import AttemptRecord, JobRecord, JobState
from tunegate.control.sealer import Sealer
from tunegate.control.settings import WebhookSettings
from tunegate.control.store.protocol import JobStore
from tunegate.control.transitions import change_for
from tunegate.sdk.errors import job_error
from tunegate.sdk.launcher import EngineUnavailable, LaunchRefused
from tunegate.sdk.storage import StoreUnavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The effects, each idempotent: what a crash leaves half done is done again."""

    store: JobStore
    engines: Engines
    sealer: Sealer
    webhooks: WebhookSettings
    verify_manifest: Verify
    state_dir: Path
    gateway_url: str
    may_act: Callable[[str], bool]
    """Whether the lease on a job is still ours, as far as we know: asked before every effect."""

    async def act(self, look: Look) -> JobRecord | None:
        """Decide and do it. Returns the job if there is more to do at once, None when the lease is given back or lost."""
        if not self.may_act(look.base.uid):
            return None
        try:
            return await self._perform(look, decide(look.now))
        except EngineUnavailable:
            launcher = look.now.attempt.launcher if look.now.attempt else look.now.job.launcher
            reason = f"The engine of {launcher} does not answer; the job's state is kept."
            return await self._write(look, later(look.now, reason))
        except StoreUnavailable:
            reason = "The object store does not answer; the result is checked later."
            return await self._write(look, later(look.now, reason))

    async def _perform(self, look: Look, action: Action) -> JobRecord | None:
        attempt = look.now.attempt
        if isinstance(action, Launch):
            return await self._write(look, action, await self._intent(look, action))
        if attempt is None:
            return await self._write(look, action)
        match action:
            case Submit():
                return await self._submit(look, attempt)
            case CancelRun():
                await self._cancel(look, attempt)
                return await self._write(look, action)
            case VerifyManifest():
                verdict = await self._verdict(look, attempt)
                return await self._perform(verdict, decide(verdict.now))
            case CleanUp():
                await self._clean_up(attempt)
                return await self._write(look, action)
            case _:
                return await self._write(look, action)

    async def _intent(self, look: Look, action: Launch) -> AttemptRecord:
        return intended_attempt(
            look.now.job,
            action.number,
            generation=await self.store.generation(),
            resume=action.resume,
            sealer=self.sealer,
            now_ms=look.now.now_ms,
            offline=not self.engines.get(look.now.job.launcher).capabilities.calls_back,
        )

    async def _submit(self, look: Look, attempt: AttemptRecord) -> JobRecord | None:
        launcher = self.engines.get(attempt.launcher)
        grant = await self._grant(look.now.job, attempt)
        run = run_of(look.now, attempt, self.sealer, self.gateway_url, grant)
        try:
            async with bounded():
                await launcher.submit(run)
        except LaunchRefused as refusal:
            error = job_error("launch_failed", str(refusal) or None)
            finish = Finish(state=JobState.FAILED, detail=error.message, error=error)
            return await self._write(look, finish)
        logger.info("job %s: %s was handed to %s", look.base.uid, run.name, attempt.launcher)
        detail = f"Waiting on {attempt.launcher}"
        return await self._write(look, Move(state=JobState.PENDING, phase="pending", detail=detail))

    async def _grant(self, job: JobRecord, attempt: AttemptRecord) -> Secret | None:
        """What a run that does not call back is given with its launch: the claim's answer, in clear."""
        if not attempt.offline or attempt.fence is None:
            return None
        grant = await grant_of(self.store, self.sealer, job, attempt, attempt.fence)
        return Secret(msgspec.json.encode(grant, enc_hook=reveal_hook).decode())

    async def _cancel(self, look: Look, attempt: AttemptRecord) -> None:
        launcher = self.engines.get(attempt.launcher)
        async with bounded():
            await launcher.cancel(attempt.run_name, look.now.settings.grace_s)

    async def _verdict(self, look: Look, attempt: AttemptRecord) -> Look:
        claim = look.now.last_word
        if not isinstance(claim, SucceededEvent):
            claim = None
        verdict = await self.verify_manifest(look.now.job, attempt, claim)
        return _with_verdict(look, verdict)

    async def _clean_up(self, attempt: AttemptRecord) -> None:
        launcher = self.engines.get(attempt.launcher)
        async with bounded(KEEP_LOG_TIMEOUT_S):
            await keep_log(launcher, attempt, self.state_dir)
        async with bounded():
            await launcher.cleanup(attempt.run_name)

    async def _write(
        self, look: Look, action: Action, new_attempt: AttemptRecord | None = None
    ) -> JobRecord | None:
        base = look.base
        change = change_for(action, look.now, base, look.folded, self.webhooks, new_attempt)
        written = await self.store.apply(change)
        if written is None:
            # Somebody was faster (a client's cancel, another replica): look again if the lease is still ours.
            fresh = await self.store.get_by_uid(base.uid)
            return fresh if fresh is not None and fresh.epoch == base.epoch else None
        if written.state is not base.state:
            logger.info("job %s: %s -> %s", base.uid, base.state, written.state)
        return None if change.releases_lease else written


def _with_verdict(look: Look, verdict: ManifestVerdict) -> Look:
    seen = msgspec.structs.replace(look.now.seen, manifest=verdict)
    now = msgspec.structs.replace(look.now, seen=seen)
    return Look(base=look.base, folded=look.folded, now=now)
