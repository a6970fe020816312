"""The outbox: exact bytes to send, strictly in order per job and channel, one in flight."""

import json
from collections.abc import Sequence

import apsw

from tunegate.control.records import Channel, Delivery, NewDelivery
from tunegate.control.store.protocol import Sent
from tunegate.control.store.sqlite.codec import (
    Bindings,
    Row,
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

_NOTED = """history = json_insert(
    iif(json_array_length(history) < 20, history, json_remove(history, '$[0]')),
    '$[#]', json_array(:now_ms, :note))
WHERE delivery_id = :id AND outcome IS NULL"""

_DELIVERED = f"""
UPDATE delivery SET outcome = 'delivered', ended_ms = :now_ms, head = 0,
    body = iif(channel = 'stream', x'', body), {_NOTED} RETURNING uid, channel
"""  # noqa: S608 - constants

_POSTPONE = f"""
UPDATE delivery SET tries = tries + 1, next_at_ms = :next_at_ms, note = :note, owner = NULL,
    lease_until_ms = 0, {_NOTED}
"""  # noqa: S608 - constants

_BURY = f"""
UPDATE delivery SET outcome = 'dead', ended_ms = :now_ms, head = 0, tries = tries + 1,
    note = :note, {_NOTED} RETURNING uid, channel
"""  # noqa: S608 - constants

_REPLAY = """
UPDATE delivery
SET outcome = NULL, ended_ms = NULL, tries = 0, next_at_ms = :now_ms, owner = NULL, lease_until_ms = 0
WHERE uid = :uid AND channel = 'webhook' AND outcome IS NOT NULL AND CASE
    WHEN :ids IS NOT NULL THEN delivery_id IN (SELECT value FROM json_each(:ids))
    ELSE outcome = 'dead' AND sequence > coalesce((
        SELECT max(sequence) FROM delivery
        WHERE uid = :uid AND channel = 'webhook' AND outcome = 'delivered'), 0)
END
RETURNING delivery_id
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
    """The row stays, as the mark that the receiver knew the job, and for a replay. A stream is not replayed from here:
    its bytes have done their work.
    """
    _end(tx, _DELIVERED, {"now_ms": tx.now_ms, "id": delivery_id, "note": "delivered"})


def postpone(tx: Transaction, delivery_id: str, next_at_ms: int, note: str) -> None:
    bindings = {"next_at_ms": next_at_ms, "now_ms": tx.now_ms, "id": delivery_id, "note": note}
    tx.db.execute(_POSTPONE, bindings)


def put_off(tx: Transaction, delivery_id: str, next_at_ms: int) -> None:
    tx.db.execute(
        "UPDATE delivery SET next_at_ms = ?, owner = NULL, lease_until_ms = 0 "
        "WHERE delivery_id = ? AND outcome IS NULL",
        (next_at_ms, delivery_id),
    )


def bury(tx: Transaction, delivery_id: str, note: str) -> None:
    _end(tx, _BURY, {"now_ms": tx.now_ms, "id": delivery_id, "note": note})


def pending(db: apsw.Connection, uid: str, channel: Channel | None) -> int:
    sql = (
        "SELECT count(*) FROM delivery WHERE uid = :uid AND outcome IS NULL "
        "AND channel = coalesce(:channel, channel)"
    )
    row = fetch_one(db, sql, {"uid": uid, "channel": channel})
    return int(row[0]) if row else 0


def dead_finals(db: apsw.Connection, uid: str, since_ms: int) -> int:
    sql = (
        "SELECT count(*) FROM delivery WHERE uid = ? AND channel = 'webhook' AND outcome = 'dead' "
        "AND final AND ended_ms >= ?"
    )
    return int(fetch(db, sql, (uid, since_ms))[0][0])


def read(db: apsw.Connection, uid: str, after: int, limit: int) -> list[Sent]:
    sql = (
        "SELECT delivery_id, sequence, final, coalesce(outcome, 'waiting'), created_ms, next_at_ms, "
        "ended_ms, history FROM delivery "
        "WHERE uid = ? AND channel = 'webhook' AND sequence > ? ORDER BY sequence LIMIT ?"
    )
    return [_sent(row) for row in fetch(db, sql, (uid, after, limit))]


def replay(tx: Transaction, uid: str, delivery_ids: Sequence[str] | None) -> int:
    ids = None if delivery_ids is None else json.dumps(list(delivery_ids))
    again = fetch(tx.db, _REPLAY, {"uid": uid, "ids": ids, "now_ms": tx.now_ms})
    if again:
        tx.db.execute("UPDATE delivery SET head = 0 WHERE uid = ? AND channel = 'webhook'", (uid,))
        tx.db.execute(_PROMOTE, (uid, "webhook"))
        tx.touched.add(uid)
    return len(again)


def _sent(row: Row) -> Sent:
    *plain, history = row
    values = dict(zip(Sent.__struct_fields__, plain, strict=False))
    values["final"] = bool(values["final"])
    return Sent(**values, tries=[(at_ms, note) for at_ms, note in json.loads(history)])


def _end(tx: Transaction, sql: str, bindings: Bindings) -> None:
    """Take a row out of its queue; the one behind it becomes the head."""
    for uid, channel in fetch(tx.db, sql, bindings):
        tx.db.execute(_PROMOTE, (uid, channel))
