"""From an action to the guarded change that records it: fields, the line of the log, what leaves the house. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tunegate.contract.base import Wire
from tunegate.control.actions import (
    Action,
    CleanUp,
    DestroySecrets,
    Finish,
    Launch,
    Move,
    Recover,
    Stop,
    Wait,
)
from tunegate.control.deliveries import new_deliveries
from tunegate.control.fold import Folded
from tunegate.control.narration import progress_line
from tunegate.control.observation import Situation
from tunegate.control.records import (
    PUBLIC,
    RESULT_FILES,
    AttemptRecord,
    JobRecord,
    JobState,
    NewEvent,
)
from tunegate.control.sealed import REQUEST
from tunegate.control.settings import WebhookSettings
from tunegate.control.states import check
from tunegate.control.store.protocol import Change

_REPORTING = frozenset({JobState.RUNNING, JobState.UPLOADING})
_STOPPING = {
    "cancel": "Stopping, as asked",
    "deadline": "Stopping: max_duration_minutes is used up",
}


class _Effect(Wire):
    """What one action adds to the effect of the folded events."""

    fields: dict[str, Any] = {}
    attempt_fields: dict[str, Any] = {}
    data: dict[str, Any] = {}
    destroys: list[str] = []
    releases: bool = False


def change_for(
    action: Action,
    now: Situation,
    base: JobRecord,
    folded: Folded | None,
    settings: WebhookSettings,
    new_attempt: AttemptRecord | None = None,
) -> Change:
    """The change of `base`, the job as it was read, that stores the folded events and the action together."""
    effect = _effect(action, now)
    job = msgspec.structs.replace(now.job, **effect.fields, updated_ms=now.now_ms)
    events = list(folded.events) if folded is not None else []
    if job.state is not base.state:
        check(base.state, job.state)
        events = _with_transition(job, base, events, effect.data, leads=isinstance(action, Move))
    report = _is_report_due(base, job, now)
    if report and not any(event.type == "job.progress" for event in events):
        events.append(_progress_event(job))
    attempt_fields = {**(folded.attempt_fields if folded else {}), **effect.attempt_fields}
    return Change(
        uid=job.uid,
        version=base.version,
        epoch=base.epoch,
        fields={**(folded.fields if folded else {}), **effect.fields},
        events=events,
        deliveries=new_deliveries(job, events, settings, report=report),
        new_attempt=new_attempt,
        attempt_number=now.attempt.number if now.attempt and attempt_fields else None,
        attempt_fields=attempt_fields,
        destroy_sealed=effect.destroys,
        releases_lease=effect.releases,
    )


def _effect(action: Action, now: Situation) -> _Effect:
    match action:
        case Wait():
            fields: dict[str, Any] = {"due_ms": action.until_ms}
            if action.reason != now.job.queue_reason:
                fields["queue_reason"] = action.reason
            return _Effect(fields=fields, releases=True)
        case Launch():
            return _launch(action, now.job)
        case Move():
            return _Effect(
                fields={
                    "state": action.state,
                    "phase": action.phase,
                    "detail": action.detail,
                    "queue_reason": action.reason,
                },
                attempt_fields={"submitted": True},
            )
        case Stop():
            return _stop(action, now)
        case Recover():
            return _recover(action, now)
        case Finish():
            return _finish(action, now)
        case CleanUp():
            return _Effect(attempt_fields={"cleaned": True})
        case DestroySecrets():
            return _Effect(
                fields={"due_ms": action.until_ms}, destroys=action.fields, releases=True
            )
        case _:
            return _Effect()


def _launch(action: Launch, job: JobRecord) -> _Effect:
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
    return _Effect(fields=fields)


def _stop(action: Stop, now: Situation) -> _Effect:
    fields = {
        "state": JobState.STOPPING,
        "phase": "stopping",
        "detail": _STOPPING[action.reason],
        "desired": "stop",
        "stop_reason": action.reason,
        "stop_at_ms": now.job.stop_at_ms or now.now_ms,
    }
    return _Effect(fields=fields)


def _recover(action: Recover, now: Situation) -> _Effect:
    number = now.job.attempt
    detail = f"Attempt {number} was lost ({action.error.message}); another one follows"
    fields = {
        "state": JobState.RECOVERING,
        "phase": "recovering",
        "detail": detail,
        "retries_left": now.job.retries_left - 1,
        "used_ms": now.used_ms,
        "queue_reason": None,
    }
    return _Effect(
        fields=fields, attempt_fields=_closing(now), data=msgspec.to_builtins(action.error)
    )


def _finish(action: Finish, now: Situation) -> _Effect:
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
    return _Effect(
        fields=fields,
        attempt_fields=_closing(now) if open_attempt else {},
        data=_end_data(action, now),
        destroys=[] if keep else [REQUEST],
    )


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


def _with_transition(
    job: JobRecord,
    base: JobRecord,
    events: Sequence[NewEvent],
    data: dict[str, Any],
    *,
    leads: bool,
) -> list[NewEvent]:
    """The log with the transition's own line: before the trainer's where these caused it, else after them."""
    changed = PUBLIC[base.state] != PUBLIC[job.state]
    own = NewEvent(
        type="job.status" if changed else "job.phase",
        status=job.status,
        phase=job.phase,
        detail=job.detail,
        attempt=job.attempt,
        data=data,
    )
    if not leads:
        return [*events, own]
    told = not changed and any(event.type == "job.phase" for event in events)
    rest = [msgspec.structs.replace(event, status=job.status) for event in events]
    return rest if told else [own, *rest]


def _is_report_due(base: JobRecord, job: JobRecord, now: Situation) -> bool:
    """Whether a multiple of the interval, counted from the claim, lies between the last change and now."""
    started_ms = now.attempt.claimed_ms if now.attempt is not None else None
    if job.interval_s is None or started_ms is None or job.progress is None:
        return False
    if not {base.state, job.state} <= _REPORTING:
        return False
    interval_ms = max(1000, int(job.interval_s * 1000))
    before, after = base.updated_ms - started_ms, now.now_ms - started_ms
    return before // interval_ms != after // interval_ms


def _progress_event(job: JobRecord) -> NewEvent:
    progress = job.progress
    return NewEvent(
        type="job.progress",
        status=job.status,
        phase=job.phase,
        detail=progress_line(progress) if progress is not None else job.detail,
        attempt=job.attempt,
        data=msgspec.to_builtins(progress),
    )
