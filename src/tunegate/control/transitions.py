"""From an action to the guarded change that records it: fields, the line of the log, what leaves the house. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tunegate.control.actions import Action, Move
from tunegate.control.deliveries import new_deliveries
from tunegate.control.effects import effect_of
from tunegate.control.fold import Folded
from tunegate.control.narration import progress_line
from tunegate.control.observation import Situation
from tunegate.control.records import PUBLIC, AttemptRecord, JobRecord, JobState, NewEvent
from tunegate.control.settings import WebhookSettings
from tunegate.control.states import check
from tunegate.control.store.protocol import Change

_REPORTING = frozenset({JobState.RUNNING, JobState.UPLOADING})


def change_for(
    action: Action,
    now: Situation,
    base: JobRecord,
    folded: Folded | None,
    settings: WebhookSettings,
    new_attempt: AttemptRecord | None = None,
) -> Change:
    """The change of `base`, the job as it was read, that stores the folded events and the action together."""
    effect = effect_of(action, now)
    job = msgspec.structs.replace(now.job, **effect.fields, updated_ms=now.now_ms)
    events = list(folded.events) if folded is not None else []
    if job.state is not base.state:
        check(base.state, job.state)
        events = _with_transition(job, base, events, effect.data, leads=isinstance(action, Move))
    report = _is_report_due(base, job, now)
    if report and not any(event.type == "job.progress" for event in events):
        events.append(_progress_event(job))
    folded_fields = folded.attempt_fields if folded else {}
    attempt_fields = {**now.seen.noted, **folded_fields, **effect.attempt_fields}
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
