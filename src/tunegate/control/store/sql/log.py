"""The event log of a job, and the outbox rows that events bring along."""

from collections.abc import Iterator, Sequence

from tunegate.contract.job import JobEvent
from tunegate.control.records import JobRecord, NewDelivery, NewEvent
from tunegate.control.store.sql import outbox
from tunegate.control.store.sql.codec import decode_event, encode
from tunegate.control.store.sql.statement import Transaction, Work, ask
from tunegate.control.timestamps import rfc3339

_INSERT = """
INSERT INTO job_event (uid, sequence, type, body) VALUES (:uid, :sequence, :type, :body)
"""


def append(
    tx: Transaction,
    job: JobRecord,
    first: int,
    events: Sequence[NewEvent],
    deliveries: Sequence[NewDelivery],
) -> None:
    """Number the events from `first` on and queue the deliveries that belong to them."""
    for event in numbered(events, first, tx.now_ms):
        tx.write(_INSERT, uid=job.uid, sequence=event.sequence, type=event.type, body=encode(event))
    for delivery in deliveries:
        outbox.enqueue(tx, job.uid, sequence_of(delivery, first, len(events)), delivery)


def numbered(events: Sequence[NewEvent], first: int, now_ms: int) -> Iterator[JobEvent]:
    """The events as they stand in the log."""
    at = rfc3339(now_ms)
    for sequence, new in enumerate(events, first):
        yield JobEvent(
            sequence=sequence,
            type=new.type,
            status=new.status,
            phase=new.phase,
            detail=new.detail,
            attempt=new.attempt,
            timestamp=at,
            data=new.data,
        )


def sequence_of(delivery: NewDelivery, first: int, events: int) -> int:
    """The number of the event that a delivery tells of. Raises ValueError when its change has no such event."""
    if not 0 <= delivery.event_index < events:
        raise ValueError("a delivery must name an event of its own change")
    return first + delivery.event_index


def read(uid: str, after: int, limit: int, types: Sequence[str] | None) -> Work[list[JobEvent]]:
    chosen = "" if types is None else "AND type IN :types"
    sql = (
        f"SELECT body FROM job_event WHERE uid = :uid AND sequence > :after {chosen} "  # noqa: S608 - constants
        "ORDER BY sequence LIMIT :limit"
    )
    more = {} if types is None else {"types": list(types)}
    rows = yield from ask(sql, uid=uid, after=after, limit=limit, **more)
    return [decode_event(row[0]) for row in rows]
