"""Leases: who looks at which job, and when."""

import json
from collections.abc import Mapping, Sequence

import apsw

from tunegate.control.records import FINAL, JobRecord
from tunegate.control.store.sqlite import jobs, sealed
from tunegate.control.store.sqlite.codec import (
    JOB_COLUMNS,
    Bindings,
    fetch,
    fetch_one,
    job_from,
)
from tunegate.control.store.sqlite.writer import Transaction

_LEASE = """
UPDATE job SET epoch = epoch + 1, owner = :owner, lease_until_ms = :until_ms, woken = 0
WHERE number IN (
    SELECT number FROM job
    WHERE {which} AND due_ms <= :now_ms AND lease_until_ms <= :now_ms
    ORDER BY due_ms, number LIMIT :limit
)
RETURNING number, {columns}
"""
_LEASE_DUE = _LEASE.format(which="active = 1 AND queued = 0", columns=JOB_COLUMNS)
_LEASE_QUEUED = _LEASE.format(which="queued = 1 AND launcher = :launcher", columns=JOB_COLUMNS)
_LEASE_ANY_QUEUED = _LEASE.format(which="queued = 1", columns=JOB_COLUMNS)

_TAKEN = """
SELECT (SELECT count(*) FROM job WHERE launcher = :launcher AND state IN ('launching', 'pending'))
    + (SELECT count(*) FROM job WHERE launcher = :launcher AND queued = 1 AND lease_until_ms > :now_ms)
"""
"""Runs that wait in the engine, and jobs about to be launched: somebody has leased them."""

_AHEAD = """
SELECT (SELECT count(*) FROM job
    WHERE queued = 1 AND launcher = mine.launcher AND (due_ms, number) < (mine.due_ms, mine.number))
FROM job AS mine WHERE uid = ? AND queued = 1
"""


def lease(
    tx: Transaction, owner: str, limit: int, lease_ms: int, room: Mapping[str, int] | None
) -> list[JobRecord]:
    common = {"owner": owner, "until_ms": tx.now_ms + lease_ms, "now_ms": tx.now_ms}
    leased = _take(tx, _LEASE_DUE, {**common, "limit": limit})
    if room is None:
        return leased + _take(tx, _LEASE_ANY_QUEUED, {**common, "limit": limit - len(leased)})
    for launcher, most in room.items():
        left = limit - len(leased)
        if left == 0:
            break
        taken = fetch(tx.db, _TAKEN, {"launcher": launcher, "now_ms": tx.now_ms})[0][0]
        wanted = {**common, "launcher": launcher, "limit": max(0, min(left, most - taken))}
        leased += _take(tx, _LEASE_QUEUED, wanted)
    return leased


def _take(tx: Transaction, sql: str, bindings: Bindings) -> list[JobRecord]:
    """RETURNING has no order of its own."""
    rows = [(row[0], job_from(row[1:])) for row in fetch(tx.db, sql, bindings)]
    rows.sort(key=lambda row: (row[1].due_ms, row[0]))
    return [job for _, job in rows]


def queue_position(db: apsw.Connection, uid: str) -> int | None:
    row = fetch_one(db, _AHEAD, (uid,))
    return int(row[0]) if row else None


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
