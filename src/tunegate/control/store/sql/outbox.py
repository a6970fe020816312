"""The outbox: exact bytes to send, strictly in order per job and channel, one in flight."""

import json
from collections.abc import Sequence
from typing import Any

from tunegate.control.records import Channel, Delivery, NewDelivery
from tunegate.control.store.protocol import PutOff, Sent
from tunegate.control.store.sql import audit, happenings
from tunegate.control.store.sql.codec import delivery_from
from tunegate.control.store.sql.statement import Row, Transaction, Work, ask, ask_one

TRIES_KEPT = 20

_ENQUEUE = """
INSERT INTO delivery
    (delivery_id, uid, channel, sequence, final, head, created_ms, next_at_ms, body)
VALUES (:id, :uid, :channel, :sequence, :final,
    CASE WHEN EXISTS (
        SELECT 1 FROM delivery WHERE uid = :uid AND channel = :channel AND outcome IS NULL
    ) THEN 0 ELSE 1 END,
    :now_ms, :not_before_ms, :body)
"""

_LEASE = """
WITH due AS MATERIALIZED (
    SELECT delivery_id FROM delivery
    WHERE head = 1 AND next_at_ms <= :now_ms AND lease_until_ms <= :now_ms
    ORDER BY next_at_ms LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE delivery SET owner = :owner, epoch = epoch + 1, lease_until_ms = :until_ms
WHERE delivery_id IN (SELECT delivery_id FROM due)
RETURNING delivery_id
"""

_LEASED = """
SELECT d.delivery_id, d.uid, job.tenant, job.job_id, d.channel, d.sequence, d.body, d.final, d.tries,
    d.next_at_ms, d.created_ms,
    CASE WHEN EXISTS (
        SELECT 1 FROM delivery o
        WHERE o.uid = d.uid AND o.channel = d.channel AND o.outcome = 'delivered'
    ) THEN 1 ELSE 0 END,
    d.epoch, d.lease_until_ms
FROM delivery d JOIN job ON job.uid = d.uid
WHERE d.delivery_id IN :ids ORDER BY d.next_at_ms
"""

_LOCK = """
SELECT uid FROM job WHERE uid IN (SELECT uid FROM delivery WHERE delivery_id = :id) FOR UPDATE
"""
_OPEN = """
SELECT uid, channel, epoch, history, lease_until_ms FROM delivery WHERE delivery_id = :id AND outcome IS NULL
"""

_DELIVERED = """
UPDATE delivery SET outcome = 'delivered', ended_ms = :now_ms, head = 0, history = :history,
    body = CASE WHEN channel = 'stream' THEN :nothing ELSE body END
WHERE delivery_id = :id
"""

_POSTPONE = """
UPDATE delivery SET tries = tries + 1, next_at_ms = :next_at_ms, note = :note, owner = NULL,
    lease_until_ms = 0, history = :history
WHERE delivery_id = :id
"""

_PUT_OFF = """
UPDATE delivery SET next_at_ms = :next_at_ms, owner = NULL, lease_until_ms = 0
WHERE delivery_id = :id AND outcome IS NULL"""

_BURY = """
UPDATE delivery SET outcome = 'dead', ended_ms = :now_ms, head = 0, tries = tries + 1,
    note = :note, history = :history
WHERE delivery_id = :id
"""

_REPLAY = """
UPDATE delivery
SET outcome = NULL, ended_ms = NULL, tries = 0, next_at_ms = :now_ms, owner = NULL, lease_until_ms = 0
WHERE uid = :uid AND channel = 'webhook' AND outcome IS NOT NULL
"""
_CHOSEN = "AND delivery_id IN :ids RETURNING delivery_id"
_DEAD_AT_THE_END = """
AND outcome = 'dead' AND sequence > coalesce((
    SELECT max(sequence) FROM delivery
    WHERE uid = :uid AND channel = 'webhook' AND outcome = 'delivered'), 0)
RETURNING delivery_id
"""

_PROMOTE = """
UPDATE delivery SET head = 1,
    next_at_ms = CASE WHEN next_at_ms < :not_before_ms THEN :not_before_ms ELSE next_at_ms END
WHERE delivery_id = (
    SELECT delivery_id FROM delivery WHERE uid = :uid AND channel = :channel AND outcome IS NULL
    ORDER BY sequence LIMIT 1)
"""


def delivery_id(uid: str, channel: Channel, sequence: int) -> str:
    return f"{uid}-{channel}-{sequence}"


def enqueue(tx: Transaction, uid: str, sequence: int, new: NewDelivery) -> None:
    tx.write(
        _ENQUEUE,
        id=delivery_id(uid, new.channel, sequence),
        uid=uid,
        channel=new.channel,
        sequence=sequence,
        final=int(new.final),
        now_ms=tx.now_ms,
        not_before_ms=new.not_before_ms,
        body=new.body,
    )


def lease(tx: Transaction, owner: str, limit: int, lease_ms: int) -> Work[list[Delivery]]:
    until_ms = tx.now_ms + lease_ms
    taken = yield from ask(_LEASE, owner=owner, now_ms=tx.now_ms, until_ms=until_ms, limit=limit)
    if not taken:
        return []
    rows = yield from ask(_LEASED, ids=[row[0] for row in taken])
    return [delivery_from(row) for row in rows]


def delivered(tx: Transaction, delivery_id: str, epoch: int | None) -> Work[None]:
    """The row stays, as the mark that the receiver knew the job, and for a replay. A stream is not replayed from here:
    its bytes have done their work. It is the truth whoever says it: a lease that ran out does not matter. But somebody
    else may hold the row by then and be about to send it once more: what follows waits until that lease is over.
    """
    row = yield from _hold(delivery_id, None)
    if row is not None:
        history = _noted(row, tx.now_ms, "delivered")
        tx.write(_DELIVERED, id=delivery_id, now_ms=tx.now_ms, history=history, nothing=b"")
        _promote(tx, row, not_before_ms=0 if epoch in (None, row[2]) else int(row[4]))


def postpone(
    tx: Transaction, delivery_id: str, next_at_ms: int, note: str, epoch: int | None
) -> Work[None]:
    row = yield from _hold(delivery_id, epoch)
    if row is not None:
        history = _noted(row, tx.now_ms, note)
        tx.write(_POSTPONE, id=delivery_id, next_at_ms=next_at_ms, note=note, history=history)


def put_off(tx: Transaction, rows: Sequence[PutOff]) -> Work[None]:
    """In one order, so that two gateways do not wait for each other. Nothing leaves a queue: no job need be locked."""
    yield from ()
    for row in sorted(rows):
        held = "" if row.epoch is None else " AND epoch = :epoch"
        values = {} if row.epoch is None else {"epoch": row.epoch}
        tx.write(_PUT_OFF + held, id=row.delivery_id, next_at_ms=row.next_at_ms, **values)


def bury(tx: Transaction, delivery_id: str, note: str, epoch: int | None) -> Work[None]:
    row = yield from _hold(delivery_id, epoch)
    if row is not None:
        history = _noted(row, tx.now_ms, note)
        tx.write(_BURY, id=delivery_id, now_ms=tx.now_ms, note=note, history=history)
        _promote(tx, row)


def pending(uid: str, channel: Channel | None) -> Work[int]:
    chosen, more = ("", {}) if channel is None else ("AND channel = :channel", {"channel": channel})
    sql = f"SELECT count(*) FROM delivery WHERE uid = :uid AND outcome IS NULL {chosen}"  # noqa: S608 - constants
    rows = yield from ask(sql, uid=uid, **more)
    return int(rows[0][0])


def dead_finals(uid: str, since_ms: int) -> Work[int]:
    sql = (
        "SELECT count(*) FROM delivery WHERE uid = :uid AND channel = 'webhook' AND outcome = 'dead' "
        "AND final = 1 AND ended_ms >= :since_ms"
    )
    rows = yield from ask(sql, uid=uid, since_ms=since_ms)
    return int(rows[0][0])


def read(uid: str, after: int, limit: int) -> Work[list[Sent]]:
    sql = (
        "SELECT delivery_id, sequence, final, coalesce(outcome, 'waiting'), created_ms, next_at_ms, "
        "ended_ms, history FROM delivery "
        "WHERE uid = :uid AND channel = 'webhook' AND sequence > :after "
        "ORDER BY sequence LIMIT :limit"
    )
    rows = yield from ask(sql, uid=uid, after=after, limit=limit)
    return [_sent(row) for row in rows]


def replay(tx: Transaction, uid: str, delivery_ids: Sequence[str] | None) -> Work[int]:
    found = yield from ask_one(
        "SELECT tenant, job_id FROM job WHERE uid = :uid FOR UPDATE", uid=uid
    )
    which = _DEAD_AT_THE_END if delivery_ids is None else _CHOSEN
    more: dict[str, Any] = {} if delivery_ids is None else {"ids": list(delivery_ids)}
    again = yield from ask(_REPLAY + which, uid=uid, now_ms=tx.now_ms, **more)
    if again:
        tx.write("UPDATE delivery SET head = 0 WHERE uid = :uid AND channel = 'webhook'", uid=uid)
        tx.write(_PROMOTE, uid=uid, channel="webhook", not_before_ms=0)
        tx.touched.add(uid)
    if again and found is not None:
        tenant, job_id = found
        audit.note(tx, happenings.replayed(uid, tenant, job_id, len(again)))
    return len(again)


def _hold(delivery_id: str, epoch: int | None) -> Work[Row | None]:
    """The row, if it waits and its lease is that of `epoch`. Its job is locked: who appends to the queue holds it too."""
    yield from ask(_LOCK, id=delivery_id)
    row = yield from ask_one(_OPEN, id=delivery_id)
    return row if row is not None and epoch in (None, row[2]) else None


def _noted(row: Row, now_ms: int, note: str) -> str:
    tries = json.loads(row[3])
    return json.dumps([*tries[-TRIES_KEPT + 1 :], [now_ms, note]])


def _promote(tx: Transaction, row: Row, not_before_ms: int = 0) -> None:
    """The row left its queue; the one behind it becomes the head."""
    uid, channel, *_ = row
    tx.write(_PROMOTE, uid=uid, channel=channel, not_before_ms=not_before_ms)


def _sent(row: Row) -> Sent:
    *plain, history = row
    values = dict(zip(Sent.__struct_fields__, plain, strict=False))
    values["final"] = bool(values["final"])
    return Sent(**values, tries=[(at_ms, note) for at_ms, note in json.loads(history)])
