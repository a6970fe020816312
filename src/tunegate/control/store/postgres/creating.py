"""A group of creates: one statement stores them all, one sync makes them durable."""

from collections.abc import Sequence
from typing import Any

from tunegate.control.store.protocol import Created, Submission
from tunegate.control.store.sql import audit, jobs, log, outbox
from tunegate.control.store.sql.codec import encode
from tunegate.control.store.sql.happenings import submitted
from tunegate.control.store.sql.statement import Transaction, Work, ask

_INSERT = """
WITH new AS (
    INSERT INTO job (uid, tenant, job_id, backend, launcher, state, created_ms, active, queued,
        gpus, gpu_limit, due_ms, epoch, lease_until_ms, record)
    SELECT uid, tenant, job_id, backend, launcher, state, created_ms, 1, queued, gpus, gpu_limit, due_ms, 0, 0,
        record
    FROM unnest(:uid::text[], :tenant::text[], :job_id::text[], :backend::text[], :launcher::text[],
        :state::text[], :created_ms::bigint[], :queued::smallint[], :gpus::integer[],
        :gpu_limit::integer[], :due_ms::bigint[], :record::bytea[])
        AS t (uid, tenant, job_id, backend, launcher, state, created_ms, queued, gpus, gpu_limit, due_ms, record)
    ON CONFLICT (tenant, job_id) DO NOTHING
    RETURNING number, uid, tenant
), pairs AS (
    INSERT INTO job_metadata (tenant, key, value, number)
    SELECT new.tenant, t.key, t.value, new.number
    FROM unnest(:pair_uid::text[], :pair_key::text[], :pair_value::text[]) AS t (uid, key, value)
    JOIN new ON new.uid = t.uid
), events AS (
    INSERT INTO job_event (uid, sequence, type, body)
    SELECT t.uid, t.sequence, t.type, t.body
    FROM unnest(:event_uid::text[], :event_sequence::bigint[], :event_type::text[], :event_body::bytea[])
        AS t (uid, sequence, type, body)
    JOIN new ON new.uid = t.uid
), deliveries AS (
    INSERT INTO delivery (delivery_id, uid, channel, sequence, final, head, created_ms, next_at_ms, body)
    SELECT t.id, t.uid, t.channel, t.sequence, t.final, t.head, :now_ms::bigint, t.next_at_ms, t.body
    FROM unnest(:out_id::text[], :out_uid::text[], :out_channel::text[], :out_sequence::bigint[],
        :out_final::smallint[], :out_head::smallint[], :out_next::bigint[], :out_body::bytea[])
        AS t (id, uid, channel, sequence, final, head, next_at_ms, body)
    JOIN new ON new.uid = t.uid
), fields AS (
    INSERT INTO sealed (uid, field, body)
    SELECT t.uid, t.field, t.body
    FROM unnest(:sealed_uid::text[], :sealed_field::text[], :sealed_body::bytea[]) AS t (uid, field, body)
    JOIN new ON new.uid = t.uid
), audit AS (
    INSERT INTO audit_arrival (at_ms, body)
    SELECT :now_ms::bigint, t.body
    FROM unnest(:audit_uid::text[], :audit_body::bytea[]) AS t (uid, body)
    JOIN new ON new.uid = t.uid
)
SELECT uid FROM new
"""
_JOB = (
    "uid",
    "tenant",
    "job_id",
    "backend",
    "launcher",
    "state",
    "created_ms",
    "queued",
    "gpus",
    "gpu_limit",
    "due_ms",
    "record",
)
_PAIR = ("pair_uid", "pair_key", "pair_value")
_EVENT = ("event_uid", "event_sequence", "event_type", "event_body")
_OUT = (
    "out_id", "out_uid", "out_channel", "out_sequence", "out_final", "out_head", "out_next", "out_body",
)  # fmt: skip
_SEALED = ("sealed_uid", "sealed_field", "sealed_body")
_AUDIT = ("audit_uid", "audit_body")


def create_all(tx: Transaction, submissions: Sequence[Submission]) -> Work[list[Created]]:
    """Each on its own: the job is new, or it is the one that holds its (tenant, job_id)."""
    rows = yield from ask(_INSERT, **_values(tx.now_ms, submissions))
    new = {row[0] for row in rows}
    tx.touched |= new
    created: list[Created] = []
    for submission in submissions:
        job = jobs.new_job(submission)
        if job.uid in new:
            created.append(Created(job=job, created=True))
            continue
        holder = yield from jobs.find(job.tenant, job.job_id)
        assert holder is not None  # noqa: S101 - the conflict was with this row
        created.append(Created(job=holder, created=False))
    return created


def _values(now_ms: int, submissions: Sequence[Submission]) -> dict[str, Any]:
    """One array per column."""
    values: dict[str, list[Any]] = {
        name: [] for name in (*_JOB, *_PAIR, *_EVENT, *_OUT, *_SEALED, *_AUDIT)
    }

    def add(names: Sequence[str], *row: Any) -> None:
        for name, value in zip(names, row, strict=True):
            values[name].append(value)

    for submission in submissions:
        job = jobs.new_job(submission)
        columns = jobs.columns(job)
        add(_JOB, *(columns[name] for name in _JOB))
        for pair in job.metadata.items():
            add(_PAIR, job.uid, *pair)
        for event in log.numbered(submission.events, 1, now_ms):
            add(_EVENT, job.uid, event.sequence, event.type, encode(event))
        seen: set[str] = set()
        for new in submission.deliveries:
            number = log.sequence_of(new, 1, len(submission.events))
            head = int(new.channel not in seen)
            seen.add(new.channel)
            key = outbox.delivery_id(job.uid, new.channel, number)
            add(
                _OUT,
                key,
                job.uid,
                new.channel,
                number,
                int(new.final),
                head,
                new.not_before_ms,
                new.body,
            )
        for field in submission.sealed.items():
            add(_SEALED, job.uid, *field)
        noted = audit.columns(submitted(job), submission.caller, now_ms)
        add(_AUDIT, job.uid, noted["body"])
    return {**values, "now_ms": now_ms}
