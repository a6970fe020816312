"""The outbox: exact bytes to send, strictly in order per job and channel, one in flight."""

import apsw

from tunegate.control.records import Channel, Delivery, NewDelivery
from tunegate.control.store.sqlite.codec import (
    Bindings,
    delivery_from,
    fetch,
    fetch_one,
)
from tunegate.control.store.sqlite.writer import Transaction

_ENQUEUE = """
INSERT INTO delivery
    (delivery_id, uid, channel, sequence, final, head, created_ms, next_at_ms, body)
VALUES (:id, :uid, :channel, :sequence, :final,
    NOT EXISTS (SELECT 1 FROM delivery WHERE uid = :uid AND channel = :channel AND outcome IS NULL),
    :now_ms, :not_before_ms, :body)
"""

_DUE = """
SELECT d.delivery_id, d.uid, job.tenant, job.job_id, d.channel, d.sequence, d.body, d.final, d.tries,
    d.next_at_ms, d.created_ms,
    EXISTS (SELECT 1 FROM delivery WHERE uid = d.uid AND channel = d.channel AND outcome = 'delivered')
FROM delivery d JOIN job ON job.uid = d.uid
WHERE d.head = 1 AND d.next_at_ms <= :now_ms AND d.lease_until_ms <= :now_ms
ORDER BY d.next_at_ms LIMIT :limit
"""

_PROMOTE = """
UPDATE delivery SET head = 1 WHERE delivery_id = (
    SELECT delivery_id FROM delivery WHERE uid = ? AND channel = ? AND outcome IS NULL
    ORDER BY sequence LIMIT 1)
"""


def enqueue(tx: Transaction, uid: str, sequence: int, new: NewDelivery) -> None:
    tx.db.execute(
        _ENQUEUE,
        {
            "id": f"{uid}-{new.channel}-{sequence}",
            "uid": uid,
            "channel": new.channel,
            "sequence": sequence,
            "final": new.final,
            "now_ms": tx.now_ms,
            "not_before_ms": new.not_before_ms,
            "body": new.body,
        },
    )


def lease(tx: Transaction, owner: str, limit: int, lease_ms: int) -> list[Delivery]:
    rows = fetch(tx.db, _DUE, {"now_ms": tx.now_ms, "limit": limit})
    for row in rows:
        tx.db.execute(
            "UPDATE delivery SET owner = ?, lease_until_ms = ? WHERE delivery_id = ?",
            (owner, tx.now_ms + lease_ms, row[0]),
        )
    return [delivery_from(row) for row in rows]


def delivered(tx: Transaction, delivery_id: str) -> None:
    """The row stays, as the mark that the receiver knew the job; its bytes have done their work."""
    sql = (
        "UPDATE delivery SET outcome = 'delivered', ended_ms = ?, head = 0, body = x'' "
        "WHERE delivery_id = ? AND outcome IS NULL RETURNING uid, channel"
    )
    _end(tx, sql, (tx.now_ms, delivery_id))


def postpone(tx: Transaction, delivery_id: str, next_at_ms: int, note: str) -> None:
    tx.db.execute(
        "UPDATE delivery SET tries = tries + 1, next_at_ms = ?, note = ?, owner = NULL, "
        "lease_until_ms = 0 WHERE delivery_id = ? AND outcome IS NULL",
        (next_at_ms, note, delivery_id),
    )


def bury(tx: Transaction, delivery_id: str, note: str) -> None:
    sql = (
        "UPDATE delivery SET outcome = 'dead', ended_ms = ?, head = 0, tries = tries + 1, note = ? "
        "WHERE delivery_id = ? AND outcome IS NULL RETURNING uid, channel"
    )
    _end(tx, sql, (tx.now_ms, note, delivery_id))


def pending(db: apsw.Connection, uid: str, channel: Channel | None) -> int:
    sql = (
        "SELECT count(*) FROM delivery WHERE uid = :uid AND outcome IS NULL "
        "AND channel = coalesce(:channel, channel)"
    )
    row = fetch_one(db, sql, {"uid": uid, "channel": channel})
    return int(row[0]) if row else 0


def _end(tx: Transaction, sql: str, bindings: Bindings) -> None:
    """Take a row out of its queue; the one behind it becomes the head."""
    for uid, channel in fetch(tx.db, sql, bindings):
        tx.db.execute(_PROMOTE, (uid, channel))
