"""Sealed secrets: bytes that only the sealer can open, gone from the database when they are destroyed."""

from collections.abc import Mapping, Sequence

from tunegate.control.store.sql.statement import Transaction, Work, ask, ask_one

_UPSERT = """
INSERT INTO sealed (uid, field, body) VALUES (:uid, :field, :body)
ON CONFLICT (uid, field) DO UPDATE SET body = excluded.body
"""


def write(tx: Transaction, uid: str, sealed: Mapping[str, bytes]) -> None:
    for field, body in sealed.items():
        tx.write(_UPSERT, uid=uid, field=field, body=body)


def read(uid: str, field: str) -> Work[bytes | None]:
    sql = "SELECT body FROM sealed WHERE uid = :uid AND field = :field"
    row = yield from ask_one(sql, uid=uid, field=field)
    return row[0] if row else None


def destroy(uid: str, fields: Sequence[str]) -> Work[list[str]]:
    """The fields that were there."""
    if not fields:
        return []
    sql = "DELETE FROM sealed WHERE uid = :uid AND field IN :fields RETURNING field"
    rows = yield from ask(sql, uid=uid, fields=list(fields))
    return sorted(row[0] for row in rows)
