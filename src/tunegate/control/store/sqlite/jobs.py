"""Jobs: create, find, list, forget."""

import apsw
from msgspec.structs import replace

from tunegate.control.records import FINAL, PUBLIC, JobRecord
from tunegate.control.store.protocol import Created, JobFilter, Submission
from tunegate.control.store.sqlite import log, sealed
from tunegate.control.store.sqlite.codec import JOB_COLUMNS, encode, fetch, fetch_one, job_from
from tunegate.control.store.sqlite.writer import Transaction
from tunegate.sdk.errors import TunegateError

_INSERT = """
INSERT INTO job
    (uid, tenant, job_id, backend, launcher, state, created_ms, active, queued, due_ms, epoch, lease_until_ms,
    record)
VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, 0, 0, ?)
ON CONFLICT (tenant, job_id) DO NOTHING
RETURNING number
"""


def create(tx: Transaction, submission: Submission) -> Created:
    job = replace(submission.job, last_sequence=len(submission.events))
    record = encode(job)
    row = fetch_one(
        tx.db,
        _INSERT,
        (
            job.uid,
            job.tenant,
            job.job_id,
            job.backend,
            job.launcher,
            job.state,
            job.created_ms,
            job.is_queued,
            job.due_ms,
            record,
        ),
    )
    if row is None:
        holder = find(tx.db, job.tenant, job.job_id)
        assert holder is not None  # noqa: S101 - the conflict was with this row
        return Created(job=holder, created=False)
    write_metadata(tx.db, int(row[0]), job)
    log.append(tx, job, 1, submission.events, submission.deliveries)
    sealed.write(tx.db, job.uid, submission.sealed)
    tx.touched.add(job.uid)
    return Created(job=job, created=True)


def find(db: apsw.Connection, tenant: str, job_id: str) -> JobRecord | None:
    sql = f"SELECT {JOB_COLUMNS} FROM job WHERE tenant = ? AND job_id = ?"  # noqa: S608 - columns are constant
    row = fetch_one(db, sql, (tenant, job_id))
    return job_from(row) if row else None


def find_by_uid(db: apsw.Connection, uid: str) -> JobRecord | None:
    row = fetch_one(db, f"SELECT {JOB_COLUMNS} FROM job WHERE uid = ?", (uid,))  # noqa: S608
    return job_from(row) if row else None


def page(
    db: apsw.Connection, tenant: str, wanted: JobFilter, after: str | None, limit: int
) -> tuple[list[JobRecord], bool]:
    """Newest first. Raises `invalid_parameter` when `after` names no job of the tenant."""
    clauses, bindings = ["tenant = ?"], list[str | int]([tenant])
    if after is not None:
        clauses.append("number < ?")
        bindings.append(_number(db, tenant, after))
    if wanted.status is not None:
        states = [str(state) for state, status in PUBLIC.items() if status == wanted.status]
        clauses.append(f"state IN ({', '.join('?' * len(states))})")
        bindings += states
    if wanted.backend is not None:
        clauses.append("backend = ?")
        bindings.append(wanted.backend)
    for key, value in wanted.metadata.items():
        clauses.append(
            "number IN (SELECT number FROM job_metadata WHERE tenant = ? AND key = ? AND value = ?)"
        )
        bindings += [tenant, key, value]
    sql = (
        f"SELECT {JOB_COLUMNS} FROM job WHERE {' AND '.join(clauses)} "  # noqa: S608 - constants, values are bound
        "ORDER BY number DESC LIMIT ?"
    )
    rows = fetch(db, sql, (*bindings, limit + 1))
    return [job_from(row) for row in rows[:limit]], len(rows) > limit


def forget(tx: Transaction, tenant: str, job_id: str) -> bool:
    """Remove a final job; every other table follows through its foreign key."""
    job = find(tx.db, tenant, job_id)
    if job is None or job.state not in FINAL:
        return False
    tx.db.execute("DELETE FROM job WHERE uid = ?", (job.uid,))
    tx.touched.add(job.uid)
    return True


def write_metadata(db: apsw.Connection, number: int, job: JobRecord) -> None:
    """Make the pairs of this job the ones that lists filter by."""
    db.execute("DELETE FROM job_metadata WHERE number = ?", (number,))
    for key, value in job.metadata.items():
        db.execute("INSERT INTO job_metadata VALUES (?, ?, ?, ?)", (job.tenant, key, value, number))


def _number(db: apsw.Connection, tenant: str, job_id: str) -> int:
    row = fetch_one(db, "SELECT number FROM job WHERE tenant = ? AND job_id = ?", (tenant, job_id))
    if row is None:
        raise TunegateError("invalid_parameter", "`after` names no job.")
    return int(row[0])
