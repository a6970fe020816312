"""The audit log as it is read: one entry per line, each with the hash of the line before."""

from tunegate.contract.base import Wire

FIRST = "0" * 64
"""What the first entry of all calls `previous`."""

Value = str | int | None


class AuditEntry(Wire):
    """A sealed entry as it is read back. `by` is a token's name, `gateway`, or `trainer`; `at` is RFC 3339."""

    sequence: int
    at: str
    kind: str
    by: str
    previous: str
    request: str = ""
    tenant: str = ""
    job: str = ""
    uid: str = ""
    data: dict[str, Value] = {}


class AuditHead(Wire):
    """The newest sealed entry. Noted elsewhere, it shows later whether anything before it was changed."""

    sequence: int = 0
    hash: str = FIRST
