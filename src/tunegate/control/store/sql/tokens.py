"""Tokens that operators made."""

from collections.abc import Mapping

import msgspec

from tunegate.control.store.sql import audit, happenings
from tunegate.control.store.sql.codec import encode
from tunegate.control.store.sql.statement import Row, Transaction, Work, ask, ask_one
from tunegate.control.tokens import TokenRecord

_decode = msgspec.json.Decoder(TokenRecord).decode

_INSERT = """
INSERT INTO token (token_id, tenant, created_ms, record)
VALUES (:token_id, :tenant, :created_ms, :record) RETURNING token_id
"""
_FIND = "SELECT record, last_used_ms FROM token WHERE token_id = :token_id"
_LIST = "SELECT record, last_used_ms FROM token {which} ORDER BY created_ms, token_id"
_USED = """
UPDATE token SET last_used_ms = :used_ms
WHERE token_id = :token_id AND coalesce(last_used_ms, 0) < :used_ms
"""


def add(tx: Transaction, record: TokenRecord) -> Work[None]:
    yield from ask(
        _INSERT,
        token_id=record.token_id,
        tenant=record.principal.name,
        created_ms=record.created_ms,
        record=encode(record),
    )
    audit.note(tx, happenings.of_token(record, "token.made"))


def find(token_id: str) -> Work[TokenRecord | None]:
    row = yield from ask_one(_FIND, token_id=token_id)
    return _record(row) if row else None


def all_of(tenant: str | None) -> Work[list[TokenRecord]]:
    if tenant is None:
        rows = yield from ask(_LIST.format(which=""))
    else:
        rows = yield from ask(_LIST.format(which="WHERE tenant = :tenant"), tenant=tenant)
    return [_record(row) for row in rows]


def end(tx: Transaction, token_id: str, expires_ms: int | None) -> Work[TokenRecord | None]:
    row = yield from ask_one(_FIND + " FOR UPDATE", token_id=token_id)
    if row is None:
        return None
    record = _record(row)
    if expires_ms is None:
        ended = msgspec.structs.replace(record, revoked_ms=record.revoked_ms or tx.now_ms)
    else:
        earliest = expires_ms if record.expires_ms is None else min(expires_ms, record.expires_ms)
        ended = msgspec.structs.replace(record, expires_ms=earliest)
    tx.write(
        "UPDATE token SET record = :record WHERE token_id = :token_id",
        record=encode(ended),
        token_id=token_id,
    )
    audit.note(
        tx, happenings.of_token(ended, "token.revoked" if expires_ms is None else "token.limited")
    )
    return ended


def drop(tx: Transaction, before_ms: int, limit: int) -> Work[list[str]]:
    """Forget tokens that ended before then; their ids."""
    known = yield from all_of(None)
    ended = [record for record in known if _ended_ms(record, before_ms) < before_ms][:limit]
    for record in ended:
        tx.write("DELETE FROM token WHERE token_id = :token_id", token_id=record.token_id)
        audit.note(tx, happenings.of_token(record, "token.expired"))
    return [record.token_id for record in ended]


def _ended_ms(record: TokenRecord, never_ms: int) -> int:
    moments = (record.revoked_ms, record.expires_ms)
    return min((moment for moment in moments if moment is not None), default=never_ms)


def note_uses(tx: Transaction, uses: Mapping[str, int]) -> Work[None]:
    # Always in the same order, so that two gateways can't lock each other out.
    for token_id in sorted(uses):
        yield from ask(
            _USED + "RETURNING token_id", token_id=token_id, used_ms=min(uses[token_id], tx.now_ms)
        )


def _record(row: Row) -> TokenRecord:
    record, last_used_ms = row
    return msgspec.structs.replace(_decode(record), last_used_ms=last_used_ms)
