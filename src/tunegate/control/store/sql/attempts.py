"""Attempts: their records, the claim fence, and the events that trainers send."""

from collections.abc import Sequence

from msgspec.structs import replace

from tunegate.contract.attempt import SequencedEvent, TrainerEvent
from tunegate.control.records import AttemptRecord, JobRecord
from tunegate.control.store.protocol import Change, Claim
from tunegate.control.store.sql import audit, guards, happenings, jobs, leases
from tunegate.control.store.sql.codec import decode_attempt, decode_trainer_event, encode
from tunegate.control.store.sql.statement import Transaction, Work, ask, ask_one

_INSERT = """
INSERT INTO attempt (attempt_id, uid, number, launcher, run_name, cleaned, record)
VALUES (:attempt_id, :uid, :number, :launcher, :run_name, :cleaned, :record)
"""
_INSERT_EVENT = """
INSERT INTO trainer_event (attempt_id, sequence, body) VALUES (:attempt_id, :sequence, :body)
ON CONFLICT DO NOTHING
"""
_KNOWN = """
SELECT run_name FROM attempt WHERE launcher = :launcher AND cleaned = 0 AND run_name IN :names
"""
_ON_RECORD = "SELECT run_name FROM attempt WHERE launcher = :launcher AND run_name IN :names"


def find(attempt_id: str) -> Work[AttemptRecord | None]:
    sql = "SELECT record FROM attempt WHERE attempt_id = :attempt_id"
    row = yield from ask_one(sql, attempt_id=attempt_id)
    return decode_attempt(row[0]) if row else None


def find_by_number(uid: str, number: int) -> Work[AttemptRecord | None]:
    sql = "SELECT record FROM attempt WHERE uid = :uid AND number = :number"
    row = yield from ask_one(sql, uid=uid, number=number)
    return decode_attempt(row[0]) if row else None


def known_runs(launcher: str, run_names: Sequence[str]) -> Work[set[str]]:
    rows = yield from ask(_KNOWN, launcher=launcher, names=list(run_names))
    return {row[0] for row in rows}


def runs_on_record(launcher: str, run_names: Sequence[str]) -> Work[set[str]]:
    rows = yield from ask(_ON_RECORD, launcher=launcher, names=list(run_names))
    return {row[0] for row in rows}


def write_change(tx: Transaction, change: Change) -> Work[None]:
    """The attempt's share of a change: a new one, fields of an old one, or both."""
    new = change.new_attempt
    if new is not None:
        _insert(tx, replace(new, fence=(yield from _next_fence())) if new.offline else new)
    if change.attempt_number is not None:
        attempt = yield from find_by_number(change.uid, change.attempt_number)
        if attempt is None:
            raise ValueError(f"the job has no attempt {change.attempt_number}")
        _update(tx, replace(attempt, **change.attempt_fields))


def claim(tx: Transaction, attempt_id: str, run_uid: str) -> Work[Claim]:
    job, attempt = yield from _lock(attempt_id)
    if attempt is None or job is None or not guards.claimable(job, attempt):
        return Claim(granted=False, job=job, attempt=attempt)
    if attempt.claimed_by is None:
        fence = attempt.fence if attempt.offline else (yield from _next_fence())
        attempt = replace(
            attempt, claimed_by=run_uid, fence=fence, claimed_ms=attempt.claimed_ms or tx.now_ms
        )
        audit.note(tx, happenings.claimed(job, attempt))
    if attempt.claimed_by != run_uid:
        return Claim(granted=False, job=job, attempt=attempt)
    attempt = replace(attempt, last_seen_ms=tx.now_ms)
    _update(tx, attempt)
    leases.wake_later(tx, job.uid)
    return Claim(granted=True, job=job, attempt=attempt)


def add_events(
    tx: Transaction, attempt_id: str, run_uid: str, events: Sequence[SequencedEvent]
) -> Work[AttemptRecord | None]:
    _, attempt = yield from _lock(attempt_id)
    if attempt is None or attempt.claimed_by != run_uid:
        return None
    for event in events:
        tx.write(_INSERT_EVENT, attempt_id=attempt_id, sequence=event.sequence, body=encode(event))
    through = yield from _contiguous(attempt)
    attempt = replace(attempt, last_seen_ms=tx.now_ms, received_through=through)
    _update(tx, attempt)
    leases.wake_later(tx, attempt.uid)
    return attempt


def append_events(
    tx: Transaction, attempt_id: str, events: Sequence[TrainerEvent]
) -> Work[AttemptRecord | None]:
    job, attempt = yield from _lock(attempt_id)
    if attempt is None or job is None or not guards.is_live(job, attempt):
        return None
    through = attempt.received_through
    for sequence, event in enumerate(events, through + 1):
        numbered = SequencedEvent(sequence=sequence, at_ms=tx.now_ms, event=event)
        tx.write(_INSERT_EVENT, attempt_id=attempt_id, sequence=sequence, body=encode(numbered))
    attempt = replace(attempt, last_seen_ms=tx.now_ms, received_through=through + len(events))
    _update(tx, attempt)
    leases.wake_later(tx, attempt.uid)
    return attempt


def read_events(attempt_id: str, after: int, limit: int) -> Work[list[SequencedEvent]]:
    sql = (
        "SELECT body FROM trainer_event WHERE attempt_id = :attempt_id AND sequence > :after "
        "ORDER BY sequence LIMIT :limit"
    )
    rows = yield from ask(sql, attempt_id=attempt_id, after=after, limit=limit)
    return [decode_trainer_event(row[0]) for row in rows]


def _lock(attempt_id: str) -> Work[tuple[JobRecord | None, AttemptRecord | None]]:
    """Both as they are once no one else may write to the job."""
    row = yield from ask_one(
        "SELECT uid FROM attempt WHERE attempt_id = :attempt_id", attempt_id=attempt_id
    )
    if row is None:
        return None, None
    job = yield from jobs.lock(row[0])
    return job, (yield from find(attempt_id))


def _next_fence() -> Work[int]:
    sql = "UPDATE counter SET value = value + 1 WHERE name = 'fence' RETURNING value"
    rows = yield from ask(sql)
    return int(rows[0][0])


def _contiguous(attempt: AttemptRecord) -> Work[int]:
    sql = (
        "SELECT sequence FROM trainer_event WHERE attempt_id = :attempt_id AND sequence > :after "
        "ORDER BY sequence"
    )
    through = attempt.received_through
    rows = yield from ask(sql, attempt_id=attempt.attempt_id, after=through)
    return guards.contiguous(through, (row[0] for row in rows))


def _insert(tx: Transaction, attempt: AttemptRecord) -> None:
    tx.write(
        _INSERT,
        attempt_id=attempt.attempt_id,
        uid=attempt.uid,
        number=attempt.number,
        launcher=attempt.launcher,
        run_name=attempt.run_name,
        cleaned=int(attempt.cleaned),
        record=encode(attempt),
    )


def _update(tx: Transaction, attempt: AttemptRecord) -> None:
    record = encode(attempt)
    decode_attempt(record)  # a value of the wrong type fails here, not at every later read
    tx.write(
        "UPDATE attempt SET cleaned = :cleaned, record = :record WHERE attempt_id = :attempt_id",
        cleaned=int(attempt.cleaned),
        record=record,
        attempt_id=attempt.attempt_id,
    )
