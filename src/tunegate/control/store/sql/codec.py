"""Values to rows and back. A record is one JSON blob; columns beside it are there for queries."""

from typing import Any

import msgspec

from tunegate.contract.attempt import SequencedEvent
from tunegate.contract.job import JobEvent
from tunegate.control.records import AttemptRecord, Delivery, JobRecord
from tunegate.control.store.sql.statement import Row

encode = msgspec.json.Encoder().encode
decode_attempt = msgspec.json.Decoder(AttemptRecord).decode
decode_event = msgspec.json.Decoder(JobEvent).decode
decode_trainer_event = msgspec.json.Decoder(SequencedEvent).decode
decode_job = msgspec.json.Decoder(JobRecord).decode

JOB_COLUMNS = "record, due_ms, epoch, owner, lease_until_ms"


def job_from(row: Row) -> JobRecord:
    """From JOB_COLUMNS. Leases and wake-ups write their columns alone, so these outrank the blob."""
    record, due_ms, epoch, owner, lease_until_ms = row
    return msgspec.structs.replace(
        decode_job(record), due_ms=due_ms, epoch=epoch, owner=owner, lease_until_ms=lease_until_ms
    )


def delivery_from(row: Row) -> Delivery:
    """From the fields of a Delivery in their order; flags are kept as numbers."""
    values: dict[str, Any] = dict(zip(Delivery.__struct_fields__, row, strict=True))
    for flag in ("final", "follows_accepted"):
        values[flag] = bool(values[flag])
    return Delivery(**values)
