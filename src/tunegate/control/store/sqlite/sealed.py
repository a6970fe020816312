"""Sealed secrets: bytes that only the sealer can open, gone from the file when they are destroyed."""

from collections.abc import Mapping, Sequence

import apsw

from tunegate.control.store.sqlite.codec import fetch_one

_UPSERT = """
INSERT INTO sealed VALUES (?, ?, ?) ON CONFLICT (uid, field) DO UPDATE SET body = excluded.body
"""


def write(db: apsw.Connection, uid: str, sealed: Mapping[str, bytes]) -> None:
    for field, body in sealed.items():
        db.execute(_UPSERT, (uid, field, body))


def read(db: apsw.Connection, uid: str, field: str) -> bytes | None:
    row = fetch_one(db, "SELECT body FROM sealed WHERE uid = ? AND field = ?", (uid, field))
    return row[0] if row else None


def destroy(db: apsw.Connection, uid: str, fields: Sequence[str]) -> None:
    for field in fields:
        db.execute("DELETE FROM sealed WHERE uid = ? AND field = ?", (uid, field))
