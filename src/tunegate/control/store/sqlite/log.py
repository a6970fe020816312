"""The event log of a job, and the outbox rows that events bring along."""

from collections.abc import Sequence

import apsw

from tunegate.contract.job import JobEvent
from tunegate.control.records import JobRecord, NewDelivery, NewEvent
from tunegate.control.store.sqlite import outbox
from tunegate.control.store.sqlite.codec import decode_event, encode, fetch, timestamp
from tunegate.control.store.sqlite.writer import Transaction


def append(
    tx: Transaction,
    job: JobRecord,
    first: int,
    events: Sequence[NewEvent],
    deliveries: Sequence[NewDelivery],
) -> None:
    """Number the events from `first` on and queue the deliveries that belong to them."""
    at = timestamp(tx.now_ms)
    for sequence, new in enumerate(events, first):
        event = JobEvent(
            sequence=sequence,
            type=new.type,
            status=new.status,
            phase=new.phase,
            detail=new.detail,
            attempt=new.attempt,
            timestamp=at,
            data=new.data,
        )
        tx.db.execute(
            "INSERT INTO job_event VALUES (?, ?, ?, ?)",
            (job.uid, sequence, new.type, encode(event)),
        )
    for delivery in deliveries:
        if not 0 <= delivery.event_index < len(events):
            raise ValueError("a delivery must name an event of its own change")
        outbox.enqueue(tx, job.uid, first + delivery.event_index, delivery)


def read(
    db: apsw.Connection, uid: str, after: int, limit: int, types: Sequence[str] | None
) -> list[JobEvent]:
    chosen = "" if types is None else f"AND type IN ({', '.join('?' * len(types))})"
    sql = (
        f"SELECT body FROM job_event WHERE uid = ? AND sequence > ? {chosen} "  # noqa: S608 - values are bound
        "ORDER BY sequence LIMIT ?"
    )
    rows = fetch(db, sql, (uid, after, *(types or ()), limit))
    return [decode_event(row[0]) for row in rows]
