"""Connections as we want them: WAL, every commit synced, freed pages zeroed."""

import os
from pathlib import Path

import apsw

from tunegate.control.store.errors import StoreUnsafe

BUSY_MS = 5_000
SCRUB_BUSY_MS = 50
LARGEST_IDLE_WAL_BYTES = 64 * 2**20

TROUBLE = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)
"""Errors of the disk and the machine, not of our SQL: the caller may try again."""


def create_private(path: Path) -> None:
    """An empty file 0600 where there is none; SQLite gives its WAL the same mode.

    Only with the file's lock: closing any descriptor of a file takes away the locks that this process has on it.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


def open_writer(path: Path) -> apsw.Connection:
    """Raises StoreUnsafe when SQLite does not take our settings."""
    db = _open(path)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute(f"PRAGMA journal_size_limit = {LARGEST_IDLE_WAL_BYTES}")
    _check(db, "synchronous", 2)
    _check(db, "secure_delete", 1)
    _check(db, "foreign_keys", 1)
    return db


def open_reader(path: Path) -> apsw.Connection:
    db = _open(path)
    db.execute("PRAGMA query_only = ON")
    return db


def open_scrubber(path: Path) -> apsw.Connection:
    """For checkpoints beside the writer: it rather gives up than keeps the writer waiting."""
    db = _open(path)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    db.set_busy_timeout(SCRUB_BUSY_MS)
    return db


def _open(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    db.set_busy_timeout(BUSY_MS)
    db.execute("PRAGMA journal_mode = WAL")
    # macOS: a plain fsync may leave the bytes in the drive's cache. Elsewhere these say nothing.
    db.execute("PRAGMA fullfsync = ON")
    db.execute("PRAGMA checkpoint_fullfsync = ON")
    _check(db, "journal_mode", "wal")
    return db


def _check(db: apsw.Connection, setting: str, wanted: int | str) -> None:
    if db.pragma(setting) != wanted:
        db.close()
        raise StoreUnsafe(f"SQLite did not set {setting} to {wanted}; is the folder writable?")
