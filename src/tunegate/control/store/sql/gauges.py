"""Numbers for gauges, and a sign of life that really writes."""

from tunegate.control.records import JobState
from tunegate.control.store.protocol import Counts
from tunegate.control.store.sql.statement import Transaction, Work, ask


def counts(now_ms: int) -> Work[Counts]:
    """Ages in ms."""
    rows = yield from ask("SELECT state, count(*), min(created_ms) FROM job GROUP BY state")
    oldest = {state: first_ms for state, _, first_ms in rows}.get(JobState.QUEUED)
    [(waiting, first_ms)] = yield from ask(
        "SELECT count(*), min(created_ms) FROM delivery WHERE outcome IS NULL"
    )
    return Counts(
        jobs={state: count for state, count, _ in rows},
        outbox=waiting,
        oldest_queued_ms=None if oldest is None else max(0, now_ms - oldest),
        oldest_delivery_ms=None if first_ms is None else max(0, now_ms - first_ms),
    )


def ping(_tx: Transaction) -> Work[None]:
    yield from ask("UPDATE counter SET value = value + 1 WHERE name = 'ping' RETURNING value")
