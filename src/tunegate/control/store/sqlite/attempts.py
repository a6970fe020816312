"""Attempts: their records, the claim fence, and the events that trainers send."""

import json
from collections.abc import Sequence

import apsw
from msgspec.structs import replace

from tunegate.contract.attempt import SequencedEvent
from tunegate.control.records import FINAL, AttemptRecord, JobRecord
from tunegate.control.store.protocol import Change, Claim
from tunegate.control.store.sqlite import jobs, work
from tunegate.control.store.sqlite.codec import (
    decode_attempt,
    decode_trainer_event,
    encode,
    fetch,
    fetch_one,
)
from tunegate.control.store.sqlite.writer import Transaction


def find(db: apsw.Connection, attempt_id: str) -> AttemptRecord | None:
    row = fetch_one(db, "SELECT record FROM attempt WHERE attempt_id = ?", (attempt_id,))
    return decode_attempt(row[0]) if row else None


def find_by_number(db: apsw.Connection, uid: str, number: int) -> AttemptRecord | None:
    row = fetch_one(db, "SELECT record FROM attempt WHERE uid = ? AND number = ?", (uid, number))
    return decode_attempt(row[0]) if row else None


def known_runs(db: apsw.Connection, launcher: str, run_names: Sequence[str]) -> set[str]:
    sql = (
        "SELECT run_name FROM attempt WHERE launcher = ? AND cleaned = 0 "
        "AND run_name IN (SELECT value FROM json_each(?))"
    )
    return {row[0] for row in fetch(db, sql, (launcher, json.dumps(list(run_names))))}


def write_change(db: apsw.Connection, change: Change) -> None:
    """The attempt's share of a change: a new one, fields of an old one, or both."""
    if change.new_attempt is not None:
        _insert(db, change.new_attempt)
    if change.attempt_number is not None:
        attempt = find_by_number(db, change.uid, change.attempt_number)
        if attempt is None:
            raise ValueError(f"the job has no attempt {change.attempt_number}")
        _update(db, replace(attempt, **change.attempt_fields))


def claim(tx: Transaction, attempt_id: str, run_uid: str) -> Claim:
    attempt = find(tx.db, attempt_id)
    job = jobs.find_by_uid(tx.db, attempt.uid) if attempt else None
    if attempt is None or job is None or not _claimable(job, attempt):
        return Claim(granted=False, job=job, attempt=attempt)
    if attempt.claimed_by is None:
        attempt = replace(
            attempt, claimed_by=run_uid, fence=_next_fence(tx.db), claimed_ms=tx.now_ms
        )
    if attempt.claimed_by != run_uid:
        return Claim(granted=False, job=job, attempt=attempt)
    attempt = replace(attempt, last_seen_ms=tx.now_ms)
    _update(tx.db, attempt)
    work.wake(tx, job.uid)
    return Claim(granted=True, job=job, attempt=attempt)


def add_events(
    tx: Transaction, attempt_id: str, run_uid: str, events: Sequence[SequencedEvent]
) -> AttemptRecord | None:
    attempt = find(tx.db, attempt_id)
    if attempt is None or attempt.claimed_by != run_uid:
        return None
    for event in events:
        tx.db.execute(
            "INSERT INTO trainer_event VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (attempt_id, event.sequence, encode(event)),
        )
    attempt = replace(
        attempt,
        last_seen_ms=tx.now_ms,
        received_through=_contiguous(tx.db, attempt_id, attempt.received_through),
    )
    _update(tx.db, attempt)
    work.wake(tx, attempt.uid)
    return attempt


def read_events(
    db: apsw.Connection, attempt_id: str, after: int, limit: int
) -> list[SequencedEvent]:
    sql = (
        "SELECT body FROM trainer_event WHERE attempt_id = ? AND sequence > ? "
        "ORDER BY sequence LIMIT ?"
    )
    return [decode_trainer_event(row[0]) for row in fetch(db, sql, (attempt_id, after, limit))]


def _claimable(job: JobRecord, attempt: AttemptRecord) -> bool:
    live = job.state not in FINAL and job.desired == "run"
    return live and attempt.number == job.attempt and attempt.ended_ms is None


def _next_fence(db: apsw.Connection) -> int:
    sql = "UPDATE counter SET value = value + 1 WHERE name = 'fence' RETURNING value"
    return int(fetch(db, sql)[0][0])


def _contiguous(db: apsw.Connection, attempt_id: str, through: int) -> int:
    """The number up to which no event is missing."""
    sql = (
        "SELECT sequence FROM trainer_event WHERE attempt_id = ? AND sequence > ? ORDER BY sequence"
    )
    for (sequence,) in db.execute(sql, (attempt_id, through)):
        if sequence != through + 1:
            break
        through += 1
    return through


def _insert(db: apsw.Connection, attempt: AttemptRecord) -> None:
    a = attempt
    db.execute(
        "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?)",
        (a.attempt_id, a.uid, a.number, a.launcher, a.run_name, a.cleaned, encode(a)),
    )


def _update(db: apsw.Connection, attempt: AttemptRecord) -> None:
    record = encode(attempt)
    decode_attempt(record)  # a value of the wrong type fails here, not at every later read
    db.execute(
        "UPDATE attempt SET cleaned = ?, record = ? WHERE attempt_id = ?",
        (attempt.cleaned, record, attempt.attempt_id),
    )
