"""The audit log. What happens is written down in its own transaction and chained to the rest soon after.

So a change never waits for the one chain that all gateways share. Arrivals are sealed in the order of their numbers
among those that are committed; one gateway at a time holds the head.
"""

from collections.abc import Sequence
from typing import Any

from tunegate.contract.audit import AuditHead
from tunegate.control.audit import (
    TRIMMED,
    AuditFilter,
    Happening,
    Sealed,
    arrival,
    chained,
    hash_of,
)
from tunegate.control.caller import GATEWAY, Caller
from tunegate.control.store.sql.statement import Transaction, Work, ask, ask_one
from tunegate.control.timestamps import rfc3339

ARRIVE = "INSERT INTO audit_arrival (at_ms, body) VALUES (:at_ms, :body)"
_TAKE = """
DELETE FROM audit_arrival WHERE number IN (SELECT number FROM audit_arrival ORDER BY number LIMIT :limit)
RETURNING number, at_ms, body
"""
_SEAL = """
INSERT INTO audit_entry (sequence, at_ms, kind, tenant, body)
VALUES (:sequence, :at_ms, :kind, :tenant, :body)
"""
_HEAD = "SELECT sequence, hash FROM audit_head"
_HOLD = f"{_HEAD} FOR UPDATE SKIP LOCKED"
_MOVE = "UPDATE audit_head SET sequence = :sequence, hash = :hash"
_OLD = """
SELECT sequence, at_ms, body FROM audit_entry ORDER BY sequence LIMIT :limit
"""


def columns(happening: Happening, caller: Caller, now_ms: int) -> dict[str, Any]:
    """The values of a new arrival."""
    return {"at_ms": now_ms, "body": arrival(happening, caller, rfc3339(now_ms))}


def note(tx: Transaction, happening: Happening, caller: Caller | None = None) -> None:
    """Write it down with the rest of the transaction."""
    tx.write(ARRIVE, **columns(happening, caller or tx.caller, tx.now_ms))


def note_all(tx: Transaction, happenings: Sequence[Happening]) -> Work[None]:
    for happening in happenings:
        yield from ask(ARRIVE + " RETURNING number", **columns(happening, tx.caller, tx.now_ms))


def waiting() -> Work[bool]:
    """Whether anything is not chained yet."""
    return (yield from ask_one("SELECT 1 FROM audit_arrival LIMIT 1")) is not None


def head() -> Work[AuditHead]:
    row = yield from ask_one(_HEAD)
    return AuditHead(sequence=row[0], hash=row[1]) if row else AuditHead()


def seal(tx: Transaction, limit: int) -> Work[Sealed]:
    """Chain so many arrivals at most."""
    newest = yield from _hold()
    if newest is None:
        return Sealed(count=0, head=None)
    arrivals = yield from ask(_TAKE, limit=limit)
    for _, at_ms, body in sorted(arrivals):
        newest = _append(tx, newest, at_ms, body)
    if arrivals:
        tx.write(_MOVE, sequence=newest.sequence, hash=newest.hash)
    return Sealed(count=len(arrivals), head=newest)


def read(wanted: AuditFilter, after: int, limit: int) -> Work[list[tuple[int, bytes]]]:
    """Sealed lines with their numbers, from behind entry `after`."""
    clauses, values = ["sequence > :after"], dict[str, Any](after=after, limit=limit)
    if wanted.tenant is not None:
        clauses.append("tenant = :tenant")
        values["tenant"] = wanted.tenant
    if wanted.kind is not None and wanted.kind.endswith("."):
        clauses.append("substr(kind, 1, :prefix) = :kind")
        values |= {"kind": wanted.kind, "prefix": len(wanted.kind)}
    elif wanted.kind is not None:
        clauses.append("kind = :kind")
        values["kind"] = wanted.kind
    for name, sign, moment_ms in (
        ("since", ">=", wanted.since_ms),
        ("until", "<", wanted.until_ms),
    ):
        if moment_ms is not None:
            clauses.append(f"at_ms {sign} :{name}")
            values[name] = moment_ms
    sql = (
        f"SELECT sequence, body FROM audit_entry WHERE {' AND '.join(clauses)} "  # noqa: S608 - constants, values are bound
        "ORDER BY sequence LIMIT :limit"
    )
    rows = yield from ask(sql, **values)
    return [(row[0], row[1]) for row in rows]


def trim(tx: Transaction, before_ms: int, limit: int) -> Work[int]:
    """Remove the oldest entries up to the first that is not older; one that is written now vouches for them."""
    newest = yield from _hold()
    if newest is None:
        return 0
    rows = yield from ask(_OLD, limit=limit)
    last: tuple[int, bytes] | None = None
    count = 0
    for sequence, at_ms, body in rows:
        if at_ms >= before_ms or sequence == newest.sequence:
            break
        last, count = (sequence, body), count + 1
    if last is None:
        return 0
    through, line = last
    said = Happening(kind=TRIMMED, data={"through": through, "hash": hash_of(line)})
    newest = _append(tx, newest, tx.now_ms, arrival(said, GATEWAY, rfc3339(tx.now_ms)))
    tx.write("DELETE FROM audit_entry WHERE sequence <= :through", through=through)
    tx.write(_MOVE, sequence=newest.sequence, hash=newest.hash)
    return count


def _hold() -> Work[AuditHead | None]:
    """The head, held to the end of the transaction; None when another gateway holds it."""
    row = yield from ask_one(_HOLD)
    return AuditHead(sequence=row[0], hash=row[1]) if row else None


def _append(tx: Transaction, newest: AuditHead, at_ms: int, arrived: bytes) -> AuditHead:
    link = chained(newest, arrived)
    tx.write(
        _SEAL,
        sequence=link.head.sequence,
        at_ms=at_ms,
        kind=link.kind,
        tenant=link.tenant,
        body=link.line,
    )
    return link.head
