"""Values to rows and back. A record is one JSON blob; columns beside it are there for queries."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import apsw
import msgspec

from tunegate.contract.attempt import SequencedEvent
from tunegate.contract.job import JobEvent
from tunegate.control.records import AttemptRecord, Delivery, JobRecord

encode = msgspec.json.Encoder().encode
decode_attempt = msgspec.json.Decoder(AttemptRecord).decode
decode_event = msgspec.json.Decoder(JobEvent).decode
decode_trainer_event = msgspec.json.Decoder(SequencedEvent).decode
decode_job = msgspec.json.Decoder(JobRecord).decode

Row = tuple[Any, ...]
Bindings = Sequence[Any] | Mapping[str, Any]

JOB_COLUMNS = "record, due_ms, epoch, owner, lease_until_ms"


def fetch(db: apsw.Connection, sql: str, bindings: Bindings | None = None) -> list[Row]:
    """All rows: runs the statement to its end, as RETURNING needs."""
    return db.execute(sql, bindings).fetchall()


def fetch_one(db: apsw.Connection, sql: str, bindings: Bindings | None = None) -> Row | None:
    rows = fetch(db, sql, bindings)
    return rows[0] if rows else None


def job_from(row: Row) -> JobRecord:
    """From JOB_COLUMNS. Leases and wake-ups write their columns alone, so these outrank the blob."""
    record, due_ms, epoch, owner, lease_until_ms = row
    return msgspec.structs.replace(
        decode_job(record), due_ms=due_ms, epoch=epoch, owner=owner, lease_until_ms=lease_until_ms
    )


def delivery_from(row: Row) -> Delivery:
    """From the fields of a Delivery in their order; SQLite has no booleans."""
    values: dict[str, Any] = dict(zip(Delivery.__struct_fields__, row, strict=True))
    for flag in ("final", "follows_accepted"):
        values[flag] = bool(values[flag])
    return Delivery(**values)


def timestamp(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    seconds, rest = divmod(ms, 1000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
