"""What a database holds, as one digest, and whether it could ever have been written so."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec

from faults.store.images import Image
from tunegate.control.records import FINAL
from tunegate.control.store.schema import state_of
from tunegate.control.store.sql import codec, jobs, outbox, tokens
from tunegate.control.store.sqlite import dialect
from tunegate.control.store.sqlite.connection import open_reader
from tunegate.control.store.sqlite.schema import SqliteSchema, known

DATABASE = "jobs.db"
NOTHING = b"nothing"
"""No database yet."""
CORRUPT = b"corrupt"


class Looker:
    """Opens images as the gateway opens its file after the power is back."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DATABASE
        self.wrong: dict[bytes, list[str]] = {}
        """By digest: what is wrong with a state, whoever it belongs to."""

    def lay_down(self, image: Image) -> Path:
        for old in self._path.parent.iterdir():
            old.unlink()
        for name, content in image.items():
            self._path.with_name(name).write_bytes(content)
        return self._path

    def digest(self, image: Image) -> bytes:
        """Of all rows of all tables, NOTHING, or CORRUPT."""
        if not image.get(DATABASE) and not image.get(f"{DATABASE}-wal"):
            return NOTHING
        try:
            with closing(open_reader(self.lay_down(image))) as db:
                if db.pragma("integrity_check") != "ok":
                    return CORRUPT
                return self._digest(db)
        except (apsw.CorruptError, apsw.IOError, apsw.NotADBError):  # also: shorter than it says
            return CORRUPT

    def _digest(self, db: apsw.Connection) -> bytes:
        tables = [name for (name,) in db.execute(_TABLES)]
        if not tables:
            return NOTHING
        rows = [db.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables]
        digest = hashlib.blake2b(msgspec.msgpack.encode((tables, rows)), digest_size=16).digest()
        if digest not in self.wrong:
            migrated = state_of(SqliteSchema(db)).version == known()[-1].version
            self.wrong[digest] = _problems(db) if migrated else []
        return digest


_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
_GAPS = """
SELECT uid FROM job WHERE json_extract(CAST(record AS TEXT), '$.last_sequence') IS NOT
    (SELECT count(*) FROM job_event e WHERE e.uid = job.uid)
    OR (SELECT count(*) FROM job_event e WHERE e.uid = job.uid)
    IS NOT (SELECT max(sequence) FROM job_event e WHERE e.uid = job.uid)
"""
_HEADS = """
SELECT uid, channel, sum(head), sum(outcome IS NULL) FROM delivery GROUP BY uid, channel
HAVING sum(head) IS NOT (sum(outcome IS NULL) > 0)
"""
_PAIRS = "SELECT key, value FROM job_metadata WHERE number = :number"


def _problems(db: apsw.Connection) -> list[str]:
    try:
        return list(_halves(db))
    except (msgspec.DecodeError, ValueError) as error:
        return [f"a record does not decode: {error}"]


def _halves(db: apsw.Connection) -> Iterator[str]:
    """Every record decodes, and what was written in one transaction fits together."""
    for number, uid, *row in db.execute(f"SELECT number, uid, {codec.JOB_COLUMNS} FROM job"):
        job = codec.job_from(tuple(row))
        attempts = db.execute("SELECT record FROM attempt WHERE uid = ?", (uid,)).fetchall()
        numbers = [codec.decode_attempt(record).number for (record,) in attempts]
        if numbers != list(range(1, job.attempt + 1)):
            yield f"{uid}: its attempts do not fit its state"
        if dict(db.execute(_PAIRS, {"number": number}).fetchall()) != job.metadata:
            yield f"{uid}: lists do not find it by its metadata"
        if dialect.read(db, jobs.find(job.tenant, job.job_id)) != job:
            yield f"{uid}: its tenant does not find it"
        if job.state in FINAL and _sealed(db, uid):
            yield f"{uid}: it is over and its secrets are there"
        dialect.read(db, outbox.read(uid, 0, 1_000))
    for (body,) in db.execute("SELECT body FROM job_event"):
        codec.decode_event(body)
    for (body,) in db.execute("SELECT body FROM trainer_event"):
        codec.decode_trainer_event(body)
    dialect.read(db, tokens.all_of(None))
    yield from (f"{uid}: its log has a gap" for (uid,) in db.execute(_GAPS))
    yield from (f"{row}: nobody or two are next to leave" for row in db.execute(_HEADS))
    yield from (f"{row}: whose is it?" for row in db.execute("PRAGMA foreign_key_check"))


def _sealed(db: apsw.Connection, uid: str) -> list[Any]:
    sql = "SELECT 1 FROM sealed WHERE uid = ? AND field = 'secrets'"
    return db.execute(sql, (uid,)).fetchall()
