"""Sealed secrets: bytes that only the sealer can open, gone from the database when they are destroyed."""

from collections.abc import Mapping, Sequence

from tunegate.control.store.sql.statement import Transaction, Work, ask_one

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


def destroy(tx: Transaction, uid: str, fields: Sequence[str]) -> None:
    for field in fields:
        tx.write("DELETE FROM sealed WHERE uid = :uid AND field = :field", uid=uid, field=field)
