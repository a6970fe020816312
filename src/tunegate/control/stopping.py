"""How a job is stopped and how a finished one is tidied up. Pure."""

from tunegate.control.actions import (
    Action,
    CleanUp,
    DestroySecrets,
    Finish,
    VerifyManifest,
    Wait,
)
from tunegate.control.judgement import succeeded
from tunegate.control.observation import Situation
from tunegate.control.pacing import after, is_settling, soon, until_over
from tunegate.control.records import AttemptRecord, JobState, StopReason
from tunegate.control.sealed import ALL, REQUEST
from tunegate.sdk.errors import job_error

TIDY_S = 60.0
"""How often a finished job is looked at while webhooks of it wait."""
PATIENT_TIDY_S = 3600.0
"""How often while it only keeps the address of one that was given up."""


def stopping(now: Situation, attempt: AttemptRecord) -> Action:
    """Stop the run and wait until the engine confirms its end; a result that was complete before wins."""
    step = until_over(now, submitted=attempt.submitted)
    if step is not None:
        return step
    if is_settling(now):
        return soon(now)
    if now.says_succeeded:
        verdict = now.seen.manifest
        if verdict is None:
            return VerifyManifest()
        if verdict.valid:
            return succeeded(now)
    return stopped(now, now.job.stop_reason or "cancel")


def stopped(now: Situation, reason: StopReason) -> Finish:
    """The end of a job that was stopped."""
    if reason == "deadline":
        error = job_error("deadline_exceeded")
        return Finish(state=JobState.FAILED, detail=error.message, error=error)
    launched = now.attempt is not None
    detail = "Cancelled" if launched else "Cancelled before it was launched"
    return Finish(state=JobState.CANCELLED, detail=detail)


def clean_up(now: Situation) -> Action:
    """Remove the closed attempt's object, once its engine confirms that nothing of it runs."""
    return until_over(now, submitted=False) or CleanUp()


def after_the_end(now: Situation) -> Action:
    """Tidy up: engine object, then credentials, then nothing is left to do."""
    attempt = now.attempt
    if attempt is not None and not attempt.cleaned:
        return clean_up(now)
    if attempt is not None and now.job.state is not JobState.SUCCEEDED:
        kept_ms = int(now.settings.keep_secrets_for_retry_s * 1000)
        keep_until_ms = (attempt.ended_ms or 0) + kept_ms
        if now.now_ms < keep_until_ms:
            return Wait(until_ms=keep_until_ms)
    told = not now.seen.pending_deliveries
    if told and not now.seen.replayable_finals:
        return DestroySecrets(fields=list(ALL), until_ms=after(now, TIDY_S))
    return DestroySecrets(fields=[REQUEST], until_ms=after(now, PATIENT_TIDY_S if told else TIDY_S))
