"""The embedded store: one SQLite file, one thread that writes, a few that read."""

from tunegate.control.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
