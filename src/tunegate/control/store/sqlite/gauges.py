"""Numbers for gauges, and a sign of life that really writes."""

import apsw

from tunegate.control.records import JobState
from tunegate.control.store.protocol import Counts
from tunegate.control.store.sqlite.codec import fetch
from tunegate.control.store.sqlite.writer import Transaction


def counts(db: apsw.Connection, now_ms: int) -> Counts:
    """Ages in ms."""
    rows = fetch(db, "SELECT state, count(*), min(created_ms) FROM job GROUP BY state")
    oldest = {state: first_ms for state, _, first_ms in rows}.get(JobState.QUEUED)
    waiting, first_ms = fetch(
        db, "SELECT count(*), min(created_ms) FROM delivery WHERE outcome IS NULL"
    )[0]
    return Counts(
        jobs={state: count for state, count, _ in rows},
        outbox=waiting,
        oldest_queued_ms=None if oldest is None else max(0, now_ms - oldest),
        oldest_delivery_ms=None if first_ms is None else max(0, now_ms - first_ms),
    )


def ping(tx: Transaction) -> None:
    tx.db.execute("UPDATE counter SET value = value + 1 WHERE name = 'ping'")
