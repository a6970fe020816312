"""Migrating a SQLite file."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import apsw

from tunegate.control.store.schema import Migration, migrations


def known() -> list[Migration]:
    """What this release can apply."""
    return migrations("tunegate.control.store.sqlite")


class SqliteSchema:
    """See `SchemaDatabase`. The file's lock keeps other processes out."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    @contextmanager
    def transaction(self) -> Generator[None]:
        with self._db:
            yield

    def run(self, script: str) -> None:
        self._db.execute(script)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._db.execute(sql).fetchall()

    def has_table(self, name: str) -> bool:
        return self._db.table_exists(None, name)
