"""Leases: who looks at which job, and when."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.control.records import FINAL, JobRecord
from tunegate.control.store.sql import audit, happenings, jobs, queue, sealed
from tunegate.control.store.sql.codec import JOB_COLUMNS, job_from
from tunegate.control.store.sql.statement import Transaction, Work, ask

_LEASE = """
WITH due AS MATERIALIZED (
    SELECT number FROM job
    WHERE {which} AND due_ms <= :now_ms AND lease_until_ms <= :now_ms
    ORDER BY due_ms, number LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE job SET epoch = epoch + 1, owner = :owner, lease_until_ms = :until_ms, woken = 0
WHERE number IN (SELECT number FROM due)
RETURNING number, {columns}
"""
_LEASE_DUE = _LEASE.format(which="active = 1 AND queued = 0", columns=JOB_COLUMNS)
_LEASE_CHOSEN = _LEASE.format(which="queued = 1 AND uid IN :uids", columns=JOB_COLUMNS)
_LEASE_ANY_QUEUED = _LEASE.format(which="queued = 1", columns=JOB_COLUMNS)

_RENEW = """
UPDATE job SET lease_until_ms = :until_ms WHERE owner = :owner AND uid IN :uids RETURNING uid
"""

_WAKE = """
UPDATE job SET due_ms = CASE WHEN due_ms < :now_ms THEN due_ms ELSE :now_ms END, woken = 1
WHERE uid = :uid
"""

_SETTLE = """
UPDATE job SET active = 0, settled_ms = :now_ms, kept_events = 1, kept_deliveries = 1
WHERE uid = :uid
    AND NOT EXISTS (SELECT 1 FROM attempt WHERE uid = :uid AND number = :attempt AND cleaned = 0)
    AND NOT EXISTS (SELECT 1 FROM sealed WHERE uid = :uid)
"""


def lease(
    tx: Transaction, owner: str, limit: int, lease_ms: int, room: Mapping[str, int] | None
) -> Work[list[JobRecord]]:
    common = {"owner": owner, "until_ms": tx.now_ms + lease_ms, "now_ms": tx.now_ms}
    leased = yield from _take(_LEASE_DUE, **common, limit=limit)
    if room is None:
        more = yield from _take(_LEASE_ANY_QUEUED, **common, limit=limit - len(leased))
        return leased + more
    chosen = yield from queue.next_jobs(tx, room, limit - len(leased))
    return leased + (yield from _take(_LEASE_CHOSEN, **common, uids=chosen, limit=len(chosen)))


def _take(sql: str, **values: Any) -> Work[list[JobRecord]]:
    """RETURNING has no order of its own."""
    if values["limit"] == 0:
        return []
    rows = yield from ask(sql, **values)
    found = [(job_from(row[1:]), row[0]) for row in rows]
    found.sort(key=lambda each: (each[0].due_ms, each[1]))
    return [job for job, _ in found]


def renew(tx: Transaction, owner: str, uids: Sequence[str], lease_ms: int) -> Work[set[str]]:
    """A lease that ran out is renewed too, as long as nobody else took the job."""
    rows = yield from ask(_RENEW, until_ms=tx.now_ms + lease_ms, owner=owner, uids=sorted(uids))
    return {row[0] for row in rows}


def wake(tx: Transaction, uid: str) -> Work[None]:
    """Due now; when it is leased, due again as soon as the holder lets go."""
    yield from ask(_WAKE + "RETURNING uid", now_ms=tx.now_ms, uid=uid)
    tx.touched.add(uid)


def wake_later(tx: Transaction, uid: str) -> None:
    """The same, as a part of other work."""
    tx.write(_WAKE, now_ms=tx.now_ms, uid=uid)
    tx.touched.add(uid)


def settle(tx: Transaction, job: JobRecord) -> None:
    """A final job can be due as long as something is left to tidy: its engine object, or sealed fields."""
    if job.state in FINAL:
        tx.write(_SETTLE, uid=job.uid, attempt=job.attempt, now_ms=tx.now_ms)


def destroy_sealed(tx: Transaction, uid: str, fields: Sequence[str]) -> Work[None]:
    """Outside a change; a final job may have nothing left to tidy then."""
    job = yield from jobs.lock(uid)
    destroyed = yield from sealed.destroy(uid, fields)
    if job is not None:
        settle(tx, job)
        for happening in happenings.secrets_destroyed(job, destroyed):
            audit.note(tx, happening)
