"""What each action adds to a job's record. Pure."""

from typing import Any

import msgspec

from tunegate.contract.base import Wire
from tunegate.control.actions import (
    Action,
    CancelRun,
    CleanUp,
    DestroySecrets,
    Finish,
    Launch,
    Move,
    Recover,
    Stop,
    Wait,
)
from tunegate.control.observation import Situation
from tunegate.control.pacing import soon
from tunegate.control.records import RESULT_FILES, JobRecord, JobState
from tunegate.control.retry_budget import spend
from tunegate.control.sealed import ALL, REQUEST

_STOPPING = {
    "cancel": "Stopping, as asked",
    "deadline": "Stopping: max_duration_minutes is used up",
}


class Effect(Wire):
    """What one action adds to the effect of the folded events."""

    fields: dict[str, Any] = {}
    attempt_fields: dict[str, Any] = {}
    data: dict[str, Any] = {}
    destroys: list[str] = []
    releases: bool = False


def effect_of(action: Action, now: Situation) -> Effect:
    """The fields that the action sets, and the sealed ones that it destroys."""
    match action:
        case Wait():
            fields: dict[str, Any] = {"due_ms": action.until_ms}
            if action.reason != now.job.queue_reason:
                fields["queue_reason"] = action.reason
            return Effect(fields=fields, releases=True)
        case Launch():
            return _launch(action, now.job)
        case Move():
            return Effect(
                fields={
                    "state": action.state,
                    "phase": action.phase,
                    "detail": action.detail,
                    "queue_reason": action.reason,
                },
                attempt_fields=_confirmed(now) | _began(action, now),
            )
        case Stop():
            return _stop(action, now)
        case CancelRun():
            fields = {"due_ms": soon(now).until_ms}
            noted = {"cancelled_ms": now.now_ms}
            return Effect(fields=fields, attempt_fields=noted, releases=True)
        case Recover():
            return _recover(action, now)
        case Finish():
            return _finish(action, now)
        case CleanUp():
            return Effect(attempt_fields={"cleaned": True})
        case DestroySecrets():
            return Effect(fields={"due_ms": action.until_ms}, destroys=action.fields, releases=True)
        case _:
            return Effect()


def _launch(action: Launch, job: JobRecord) -> Effect:
    detail = f"Being launched on {job.launcher}"
    if action.resume:
        detail = f"Attempt {action.number} goes on from the last checkpoint on {job.launcher}"
    fields = {
        "state": JobState.LAUNCHING,
        "phase": "launching",
        "detail": detail,
        "attempt": action.number,
        "queue_reason": None,
    }
    return Effect(fields=fields)


def _confirmed(now: Situation) -> dict[str, Any]:
    """The engine has the run: that it knew none before is no sign of a loss."""
    if now.attempt is not None and now.attempt.submitted:
        return {}
    return {"submitted": True, "absent_since_ms": None}


def _began(action: Move, now: Situation) -> dict[str, Any]:
    """From when on the time of a program counts that need not claim."""
    attempt = now.attempt
    counted = attempt is None or attempt.claimed_ms is not None
    if counted or not now.trusts_exit_code or action.state is not JobState.RUNNING:
        return {}
    return {"claimed_ms": now.now_ms}


def _stop(action: Stop, now: Situation) -> Effect:
    fields = {
        "state": JobState.STOPPING,
        "phase": "stopping",
        "detail": _STOPPING[action.reason],
        "desired": "stop",
        "stop_reason": action.reason,
        "stop_at_ms": now.job.stop_at_ms or now.now_ms,
    }
    return Effect(fields=fields)


def _recover(action: Recover, now: Situation) -> Effect:
    number = now.job.attempt
    detail = f"Attempt {number} was lost ({action.error.message}); another one follows"
    fields = {
        "state": JobState.RECOVERING,
        "phase": "recovering",
        "detail": detail,
        **spend(now.job, action.error.code),
        "used_ms": now.used_ms,
        "queue_reason": None,
    }
    return Effect(
        fields=fields, attempt_fields=_closing(now), data=msgspec.to_builtins(action.error)
    )


def _finish(action: Finish, now: Situation) -> Effect:
    fields = {
        "state": action.state,
        "phase": action.state.value,
        "detail": action.detail,
        "error": action.error,
        "used_ms": now.used_ms,
        "queue_reason": None,
    }
    open_attempt = now.attempt is not None and now.attempt.ended_ms is None
    keep = now.settings.keep_secrets_for_retry_s > 0 and action.state is not JobState.SUCCEEDED
    return Effect(
        fields=fields,
        attempt_fields=_closing(now) if open_attempt else {},
        data=_end_data(action, now),
        destroys=[] if keep else _spent(now.job),
    )


def _spent(job: JobRecord) -> list[str]:
    """What nobody needs after the end; the addresses of those who are to hear of it stay until they have."""
    return [REQUEST] if job.has_webhook or job.has_stream else list(ALL)


def _end_data(action: Finish, now: Situation) -> dict[str, Any]:
    """What the last line of the log holds: the error, or the files of the result."""
    if action.error is not None:
        return msgspec.to_builtins(action.error)
    if action.state is JobState.SUCCEEDED and now.seen.manifest is not None:
        return {RESULT_FILES: msgspec.to_builtins(now.seen.manifest.files)}
    return {}


def _closing(now: Situation) -> dict[str, Any]:
    exit_code = now.seen.run.exit_code if now.seen.run is not None else None
    return {"ended_ms": now.now_ms, "exit_code": exit_code}
