"""Leases: who looks at which job, and when."""

import json
from collections.abc import Sequence

import apsw

from tunegate.control.records import FINAL, JobRecord
from tunegate.control.store.sqlite import jobs, sealed
from tunegate.control.store.sqlite.codec import JOB_COLUMNS, fetch, job_from
from tunegate.control.store.sqlite.writer import Transaction

_LEASE = f"""
UPDATE job SET epoch = epoch + 1, owner = :owner, lease_until_ms = :until_ms, woken = 0
WHERE number IN (
    SELECT number FROM job
    WHERE active = 1 AND due_ms <= :now_ms AND lease_until_ms <= :now_ms
    ORDER BY due_ms LIMIT :limit
)
RETURNING {JOB_COLUMNS}
"""  # noqa: S608 - columns are constant


def lease(tx: Transaction, owner: str, limit: int, lease_ms: int) -> list[JobRecord]:
    bindings = {
        "owner": owner,
        "until_ms": tx.now_ms + lease_ms,
        "now_ms": tx.now_ms,
        "limit": limit,
    }
    jobs = [job_from(row) for row in fetch(tx.db, _LEASE, bindings)]
    return sorted(jobs, key=lambda job: job.due_ms)


def renew(tx: Transaction, owner: str, uids: Sequence[str], lease_ms: int) -> None:
    """A lease that ran out is renewed too, as long as nobody else took the job."""
    tx.db.execute(
        "UPDATE job SET lease_until_ms = ? "
        "WHERE owner = ? AND uid IN (SELECT value FROM json_each(?))",
        (tx.now_ms + lease_ms, owner, json.dumps(list(uids))),
    )


def wake(tx: Transaction, uid: str) -> None:
    """Due now; when it is leased, due again as soon as the holder lets go."""
    tx.db.execute(
        "UPDATE job SET due_ms = min(due_ms, ?), woken = 1 WHERE uid = ?", (tx.now_ms, uid)
    )
    tx.touched.add(uid)


def is_active(db: apsw.Connection, job: JobRecord) -> bool:
    """Whether the job can be due: not final, or final with something left to tidy."""
    if job.state not in FINAL:
        return True
    sql = (
        "SELECT EXISTS (SELECT 1 FROM attempt WHERE uid = :uid AND number = :number AND cleaned = 0) "
        "OR EXISTS (SELECT 1 FROM sealed WHERE uid = :uid)"
    )
    return bool(fetch(db, sql, {"uid": job.uid, "number": job.attempt})[0][0])


def destroy_sealed(tx: Transaction, uid: str, fields: Sequence[str]) -> None:
    """Outside a change; a final job may have nothing left to tidy then."""
    sealed.destroy(tx.db, uid, fields)
    job = jobs.find_by_uid(tx.db, uid)
    if job is not None:
        tx.db.execute("UPDATE job SET active = ? WHERE uid = ?", (is_active(tx.db, job), uid))
