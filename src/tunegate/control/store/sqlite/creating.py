"""A group of creates: the rows are made on the event loop, the writer's thread only lays them down, table by table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tunegate.control.records import JobRecord
from tunegate.control.store.protocol import Created, Submission
from tunegate.control.store.sql import audit, jobs, log, outbox
from tunegate.control.store.sql.codec import encode
from tunegate.control.store.sql.happenings import submitted
from tunegate.control.store.sqlite import dialect
from tunegate.control.store.sqlite.writer import Transaction

Row = tuple[Any, ...]

_JOBS = """
INSERT INTO job
    (uid, tenant, job_id, backend, launcher, state, created_ms, active, queued, gpus, gpu_limit, due_ms,
    epoch, lease_until_ms, record)
VALUES (:uid, :tenant, :job_id, :backend, :launcher, :state, :created_ms, 1, :queued, :gpus, :gpu_limit,
    :due_ms, 0, 0, :record)
ON CONFLICT (tenant, job_id) DO NOTHING
RETURNING number
"""
_PAIRS = "INSERT INTO job_metadata (tenant, key, value, number) VALUES (?, ?, ?, ?)"
_EVENTS = "INSERT INTO job_event (uid, sequence, type, body) VALUES (?, ?, ?, ?)"
_DELIVERIES = """
INSERT INTO delivery (delivery_id, uid, channel, sequence, final, head, created_ms, next_at_ms, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SEALED = "INSERT INTO sealed (uid, field, body) VALUES (?, ?, ?)"
_AUDIT = "INSERT INTO audit_arrival (at_ms, body) VALUES (?, ?)"


@dataclass(slots=True)
class Rows:
    """Of one submission."""

    job: JobRecord
    columns: dict[str, Any]
    others: dict[str, list[Row]] = field(default_factory=dict[str, list[Row]])
    """By the statement that inserts them."""


def rows_of(submission: Submission, now_ms: int) -> Rows:
    """What is to be stored."""
    job = jobs.new_job(submission)
    uid, seen = job.uid, set[str]()
    deliveries: list[Row] = []
    for new in submission.deliveries:
        number = log.sequence_of(new, 1, len(submission.events))
        deliveries.append(
            (
                outbox.delivery_id(uid, new.channel, number),
                uid,
                new.channel,
                number,
                int(new.final),
                int(new.channel not in seen),
                now_ms,
                new.not_before_ms,
                new.body,
            )
        )
        seen.add(new.channel)
    numbered = log.numbered(submission.events, 1, now_ms)
    others: dict[str, list[Row]] = {
        _EVENTS: [(uid, event.sequence, event.type, encode(event)) for event in numbered],
        _DELIVERIES: deliveries,
        _SEALED: [(uid, name, body) for name, body in submission.sealed.items()],
        _AUDIT: [tuple(audit.columns(submitted(job), submission.caller, now_ms).values())],
    }
    return Rows(job, jobs.columns(job), others)


def create_all(tx: Transaction, group: Sequence[Rows]) -> list[Created]:
    """Each on its own: the job is new, or it is the one that holds its (tenant, job_id)."""
    db = tx.db
    stored = [(rows, db.execute(_JOBS, rows.columns).fetchall()) for rows in group]
    new = [rows for rows, numbers in stored if numbers]
    for sql in (_EVENTS, _DELIVERIES, _SEALED, _AUDIT):
        db.executemany(sql, [row for rows in new for row in rows.others[sql]])
    pairs = [
        (rows.job.tenant, key, value, numbers[0][0])
        for rows, numbers in stored
        if numbers
        for key, value in rows.job.metadata.items()
    ]
    db.executemany(_PAIRS, pairs)
    tx.touched.update(rows.job.uid for rows in new)
    return [_created(tx, rows.job, is_new=bool(numbers)) for rows, numbers in stored]


def _created(tx: Transaction, job: JobRecord, *, is_new: bool) -> Created:
    if is_new:
        return Created(job=job, created=True)
    holder = dialect.read(tx.db, jobs.find(job.tenant, job.job_id))
    assert holder is not None  # noqa: S101 - the conflict was with this row
    return Created(job=holder, created=False)
