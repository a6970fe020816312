"""What is old enough to go, a few rows at a time. A job counts from when nothing of it was left to do."""

from collections.abc import Callable

from tunegate.control.records import JobRecord
from tunegate.control.store.protocol import Expirable
from tunegate.control.store.sql import audit, happenings, tokens
from tunegate.control.store.sql.codec import JOB_COLUMNS, job_from
from tunegate.control.store.sql.statement import Transaction, Work, ask

_SETTLED = """
SELECT {columns} FROM job
WHERE settled_ms IS NOT NULL AND settled_ms < :before_ms AND active = 0 {which}
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.uid = job.uid AND outcome IS NULL)
ORDER BY settled_ms LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_WHICH = {"jobs": "", "events": "AND kept_events = 1", "deliveries": "AND kept_deliveries = 1"}
_TURN = """
UPDATE counter SET value = :until_ms WHERE name = 'retention' AND value <= :now_ms RETURNING value
"""


def take_turn(tx: Transaction, for_ms: int) -> Work[bool]:
    """Whether it is this gateway's; nobody else has it for so long."""
    return bool((yield from ask(_TURN, now_ms=tx.now_ms, until_ms=tx.now_ms + for_ms)))


def expire(tx: Transaction, what: Expirable, before_ms: int, limit: int) -> Work[list[str]]:
    """The uids of the jobs, or the ids of the tokens."""
    if what == "tokens":
        return (yield from tokens.drop(tx, before_ms, limit))
    sql = _SETTLED.format(columns=JOB_COLUMNS, which=_WHICH[what])
    rows = yield from ask(sql, before_ms=before_ms, limit=limit)
    jobs = [job_from(row) for row in rows]
    for job in jobs:
        _REMOVE[what](tx, job)
    return [job.uid for job in jobs]


def _job(tx: Transaction, job: JobRecord) -> None:
    tx.write("DELETE FROM job WHERE uid = :uid", uid=job.uid)
    audit.note(tx, happenings.of_job(job, "job.expired"))
    tx.touched.add(job.uid)


def _events(tx: Transaction, job: JobRecord) -> None:
    """All but the last: it says how the job ended, and lists its result."""
    tx.write(
        "DELETE FROM job_event WHERE uid = :uid "
        "AND sequence < (SELECT max(sequence) FROM job_event WHERE uid = :uid)",
        uid=job.uid,
    )
    tx.write(
        "DELETE FROM trainer_event "
        "WHERE attempt_id IN (SELECT attempt_id FROM attempt WHERE uid = :uid)",
        uid=job.uid,
    )
    tx.write("UPDATE job SET kept_events = 0 WHERE uid = :uid", uid=job.uid)


def _deliveries(tx: Transaction, job: JobRecord) -> None:
    tx.write("DELETE FROM delivery WHERE uid = :uid AND outcome IS NOT NULL", uid=job.uid)
    tx.write("UPDATE job SET kept_deliveries = 0 WHERE uid = :uid", uid=job.uid)


_REMOVE: dict[str, Callable[[Transaction, JobRecord], None]] = {
    "jobs": _job,
    "events": _events,
    "deliveries": _deliveries,
}
