"""`apply`: one guarded transition of a job with all that belongs to it."""

from typing import Any

from msgspec.structs import replace

from tunegate.control.records import FINAL, JobRecord, JobState
from tunegate.control.store.protocol import Change
from tunegate.control.store.sqlite import attempts, jobs, log, sealed, work
from tunegate.control.store.sqlite.codec import JOB_COLUMNS, decode_job, encode, fetch_one, job_from
from tunegate.control.store.sqlite.writer import Transaction

OWN_FIELDS = frozenset(
    {"uid", "tenant", "job_id", "created_ms", "updated_ms", "version", "last_sequence"}
    | {"epoch", "owner", "lease_until_ms"}
)
"""Fields of a JobRecord that the store alone sets."""

REOPENED = frozenset({JobState.QUEUED, JobState.RECOVERING})

_SELECT = f"SELECT number, woken, {JOB_COLUMNS} FROM job WHERE uid = ?"  # noqa: S608 - columns are constant
_UPDATE = """
UPDATE job SET backend = ?, launcher = ?, state = ?, active = ?, queued = ?, due_ms = ?, owner = ?,
    lease_until_ms = ?, record = ?
WHERE number = ?
"""


def apply(tx: Transaction, change: Change) -> JobRecord | None:
    """The job as it is now; None when the guard failed."""
    if refused := OWN_FIELDS & change.fields.keys():
        raise ValueError(f"a change can't set {', '.join(sorted(refused))}")
    row = fetch_one(tx.db, _SELECT, (change.uid,))
    if row is None:
        return None
    number, woken, old = int(row[0]), bool(row[1]), job_from(row[2:])
    if not _guard_holds(old, change):
        return None
    visible = bool(change.events) or not change.fields.keys() <= {"due_ms"}
    job = _changed(old, change, tx.now_ms if visible else old.updated_ms)
    if change.releases_lease:
        job = _released(job, tx.now_ms, woken=woken)
    attempts.write_change(tx.db, change)
    sealed.destroy(tx.db, job.uid, change.destroy_sealed)
    sealed.write(tx.db, job.uid, change.sealed)
    _write(tx, number, job)
    if job.metadata != old.metadata:
        jobs.write_metadata(tx.db, number, job)
    log.append(tx, job, old.last_sequence + 1, change.events, change.deliveries)
    if visible:
        tx.touched.add(job.uid)
    return job


def _guard_holds(job: JobRecord, change: Change) -> bool:
    if job.version != change.version or change.epoch not in (None, job.epoch):
        return False
    state = change.fields.get("state", job.state)
    if job.state not in FINAL or state == job.state:
        return True
    # Final states absorb. Only a retry opens a job again, and says so in full.
    return state in REOPENED and change.fields.get("desired") == "run"


def _changed(job: JobRecord, change: Change, updated_ms: int) -> JobRecord:
    fields: dict[str, Any] = {
        **change.fields,
        "version": job.version + 1,
        "updated_ms": updated_ms,
        "last_sequence": job.last_sequence + len(change.events),
    }
    return replace(job, **fields)


def _released(job: JobRecord, now_ms: int, *, woken: bool) -> JobRecord:
    """A wake-up that came during the lease must not be put off by the holder's own plan."""
    due_ms = min(job.due_ms, now_ms) if woken else job.due_ms
    return replace(job, owner=None, lease_until_ms=0, due_ms=due_ms)


def _write(tx: Transaction, number: int, job: JobRecord) -> None:
    record = encode(job)
    decode_job(record)  # a value of the wrong type fails here, not at every later read
    tx.db.execute(
        _UPDATE,
        (
            job.backend,
            job.launcher,
            job.state,
            work.is_active(tx.db, job),
            job.is_queued,
            job.due_ms,
            job.owner,
            job.lease_until_ms,
            record,
            number,
        ),
    )
