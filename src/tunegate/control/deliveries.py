"""Which events leave the house, and with which bytes: rows for the outbox, written with the change they tell of. Pure."""

from collections.abc import Sequence

import msgspec

from tunegate.contract.job import TERMINAL, JobEvent, WebhookBody
from tunegate.control.narration import log_line
from tunegate.control.records import JobRecord, JobState, NewDelivery, NewEvent
from tunegate.control.settings import WebhookSettings
from tunegate.control.timestamps import rfc3339

_PASSING = frozenset({JobState.STOPPING, JobState.RECOVERING})
"""States on the way to another one: no webhook of their own, what follows tells more."""


def new_deliveries(
    job: JobRecord, events: Sequence[NewEvent], settings: WebhookSettings, *, report: bool = False
) -> list[NewDelivery]:
    """The outbox rows for events that are about to be written; they get the numbers `job.last_sequence + 1` and so on.

    `job` is as it will be after the change, but for `last_sequence`; its `updated_ms` is the time of the change.
    With `report` the last progress event among them becomes a progress report.
    """
    rows: list[NewDelivery] = []
    reported = _last_progress(events) if report else None
    for index, event in enumerate(events):
        sequence = job.last_sequence + 1 + index
        if job.has_webhook and _is_told(job, event, index == reported):
            rows.append(
                NewDelivery(
                    channel="webhook",
                    event_index=index,
                    body=_webhook_body(job, event, sequence),
                    not_before_ms=_not_before_ms(job, settings),
                    final=_is_final(event),
                )
            )
        if job.has_stream:
            rows.append(
                NewDelivery(
                    channel="stream",
                    event_index=index,
                    body=_stream_body(job, event, sequence),
                    not_before_ms=_not_before_ms(job, settings),
                    final=_is_final(event),
                )
            )
    return rows


def _is_told(job: JobRecord, event: NewEvent, is_report: bool) -> bool:
    if not is_report and (event.type != "job.status" or job.state in _PASSING):
        return False
    wanted = job.event_filter
    if not wanted or event.status in wanted:  # an empty list is a form in which nothing was chosen
        return True
    return event.status == "queued" and "submitted" in wanted


def _is_final(event: NewEvent) -> bool:
    return event.type == "job.status" and event.status in TERMINAL


def _not_before_ms(job: JobRecord, settings: WebhookSettings) -> int:
    return max(job.updated_ms, job.created_ms + int(settings.first_delay_s * 1000))


def _last_progress(events: Sequence[NewEvent]) -> int | None:
    found = [index for index, event in enumerate(events) if event.type == "job.progress"]
    return found[-1] if found else None


def _webhook_body(job: JobRecord, event: NewEvent, sequence: int) -> bytes:
    return msgspec.json.encode(
        WebhookBody(
            job_id=job.job_id,
            backend_job_id=job.backend_job_id,
            status=event.status,
            phase=event.phase,
            detail=event.detail,
            log=log_line(job, event),
            progress=job.progress,
            error=job.error,
            attempt=event.attempt,
            sequence=sequence,
            timestamp=rfc3339(job.updated_ms),
        )
    )


def _stream_body(job: JobRecord, event: NewEvent, sequence: int) -> bytes:
    return msgspec.json.encode(
        JobEvent(
            sequence=sequence,
            type=event.type,
            status=event.status,
            phase=event.phase,
            detail=event.detail,
            attempt=event.attempt,
            timestamp=rfc3339(job.updated_ms),
            data=event.data,
        )
    )
