"""`apply`: one guarded transition of a job with all that belongs to it."""

from tunegate.control.records import JobRecord
from tunegate.control.store.protocol import Change
from tunegate.control.store.sql import (
    attempts,
    audit,
    guards,
    happenings,
    jobs,
    leases,
    log,
    sealed,
)
from tunegate.control.store.sql.codec import JOB_COLUMNS, decode_job, encode, job_from
from tunegate.control.store.sql.statement import Transaction, Work, ask_one

_SELECT = f"SELECT number, woken, {JOB_COLUMNS} FROM job WHERE uid = :uid FOR UPDATE"  # noqa: S608 - columns are constant
_UPDATE = """
UPDATE job SET backend = :backend, launcher = :launcher, state = :state, active = 1, settled_ms = NULL, queued = :queued,
    gpus = :gpus, gpu_limit = :gpu_limit, due_ms = :due_ms, owner = :owner, lease_until_ms = :lease_until_ms, record = :record
WHERE number = :number
"""


def apply(tx: Transaction, change: Change) -> Work[JobRecord | None]:
    """The job as it is now; None when the guard failed."""
    guards.check_fields(change)
    row = yield from ask_one(_SELECT, uid=change.uid)
    if row is None:
        return None
    number, woken, old = int(row[0]), bool(row[1]), job_from(row[2:])
    if not guards.allows(old, change):
        return None
    job = guards.changed(old, change, tx.now_ms, woken=woken)
    yield from attempts.write_change(tx, change)
    destroyed = yield from sealed.destroy(job.uid, change.destroy_sealed)
    sealed.write(tx, job.uid, change.sealed)
    _write(tx, number, job)
    if job.metadata != old.metadata:
        jobs.rewrite_metadata(tx, number, job)
    log.append(tx, job, old.last_sequence + 1, change.events, change.deliveries)
    for happening in happenings.of_change(old, job, change, destroyed):
        audit.note(tx, happening)
    if guards.is_visible(change):
        tx.touched.add(job.uid)
    return job


def _write(tx: Transaction, number: int, job: JobRecord) -> None:
    record = encode(job)
    decode_job(record)  # a value of the wrong type fails here, not at every later read
    tx.write(
        _UPDATE,
        number=number,
        backend=job.backend,
        launcher=job.launcher,
        state=job.state.value,
        queued=int(job.is_queued),
        gpus=job.gpus,
        gpu_limit=job.gpu_limit,
        due_ms=job.due_ms,
        owner=job.owner,
        lease_until_ms=job.lease_until_ms,
        record=record,
    )
    leases.settle(tx, job)
