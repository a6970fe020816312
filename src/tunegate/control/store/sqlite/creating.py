"""A group of creates: the rows are made on the event loop, the writer's thread only lays them down, table by table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from tunegate.control.records import JobRecord
from tunegate.control.store.protocol import Created, Submission
from tunegate.control.store.sql import audit, jobs, log, outbox
from tunegate.control.store.sql.codec import encode
from tunegate.control.store.sql.happenings import submitted
from tunegate.control.store.sqlite import dialect
from tunegate.control.store.sqlite.insert import Insert, Row
from tunegate.control.store.sqlite.writer import Transaction

_JOBS = Insert(
    "INSERT INTO job (uid, tenant, job_id, backend, launcher, state, created_ms, active, queued, gpus, gpu_limit, due_ms, "
    "epoch, lease_until_ms, record) VALUES {rows} ON CONFLICT (tenant, job_id) DO NOTHING",
    "(?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, 0, 0, ?)",
)
_PAIRS = Insert(
    "INSERT INTO job_metadata (tenant, key, value, number) SELECT column1, column2, column3, job.number "
    "FROM (VALUES {rows}) JOIN job ON job.uid = column4",
    "(?, ?, ?, ?)",
)
_EVENTS = Insert("INSERT INTO job_event (uid, sequence, type, body) VALUES {rows}", "(?, ?, ?, ?)")
_DELIVERIES = Insert(
    "INSERT INTO delivery (delivery_id, uid, channel, sequence, final, head, created_ms, next_at_ms, body) "
    "VALUES {rows}",
    "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
)
_SEALED = Insert("INSERT INTO sealed (uid, field, body) VALUES {rows}", "(?, ?, ?)")
_AUDIT = Insert("INSERT INTO audit_arrival (at_ms, body) VALUES {rows}", "(?, ?)")
_STORED = "SELECT uid FROM job WHERE uid IN (SELECT value FROM json_each(?))"


@dataclass(slots=True)
class Rows:
    """Of one submission."""

    job: JobRecord
    row: Row
    others: dict[Insert, list[Row]] = field(default_factory=dict[Insert, list[Row]])
    """By what inserts them."""


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
    others: dict[Insert, list[Row]] = {
        _EVENTS: [(uid, event.sequence, event.type, encode(event)) for event in numbered],
        _DELIVERIES: deliveries,
        _SEALED: [(uid, name, body) for name, body in submission.sealed.items()],
        _AUDIT: [tuple(audit.columns(submitted(job), submission.caller, now_ms).values())],
        _PAIRS: [(job.tenant, key, value, uid) for key, value in job.metadata.items()],
    }
    return Rows(job, tuple(jobs.columns(job).values()), others)


def create_all(tx: Transaction, group: Sequence[Rows]) -> list[Created]:
    """Each on its own: the job is new, or it is the one that holds its (tenant, job_id)."""
    db = tx.db
    before = db.total_changes()
    _JOBS.run(db, [rows.row for rows in group])
    new = group
    if db.total_changes() - before < len(group):
        uids = json.dumps([rows.job.uid for rows in group])
        stored = {row[0] for row in db.execute(_STORED, (uids,))}
        new = [rows for rows in group if rows.job.uid in stored]
    for insert in (_EVENTS, _DELIVERIES, _SEALED, _AUDIT, _PAIRS):
        insert.run(db, [row for rows in new for row in rows.others[insert]])
    uids_new = {rows.job.uid for rows in new}
    tx.touched |= uids_new
    return [_created(tx, rows.job, is_new=rows.job.uid in uids_new) for rows in group]


def _created(tx: Transaction, job: JobRecord, *, is_new: bool) -> Created:
    if is_new:
        return Created(job=job, created=True)
    holder = dialect.read(tx.db, jobs.find(job.tenant, job.job_id))
    assert holder is not None  # noqa: S101 - the conflict was with this row
    return Created(job=holder, created=False)
