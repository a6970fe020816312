"""Migrating a PostgreSQL database, and what must hold before we trust it with jobs."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import psycopg

from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.store.schema import Migration, migrations

_LOCK = 0x74756E65
"""The advisory lock of whoever migrates: "tune"."""
OLDEST_SERVER = 13


def known() -> list[Migration]:
    """What this release can apply."""
    return migrations("tunegate.control.store.postgres")


class PostgresSchema:
    """See `SchemaDatabase`. The connection must be in autocommit mode."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    @contextmanager
    def transaction(self) -> Generator[None]:
        with self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            yield

    def run(self, script: str) -> None:
        self._connection.execute(script.encode())

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql.encode()).fetchall()

    def has_table(self, name: str) -> bool:
        found = self._connection.execute("SELECT to_regclass(%s)", (name,)).fetchall()
        return found[0][0] is not None


def check_server(connection: psycopg.Connection) -> None:
    """Raises StoreUnsafe where the server could lose what it has acknowledged, or can't keep our texts."""
    version = connection.info.server_version // 10_000
    if version < OLDEST_SERVER:
        raise StoreUnsafe(f"PostgreSQL {version} is too old; use {OLDEST_SERVER} or newer.")
    for setting, wanted in (
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("server_encoding", "UTF8"),
    ):
        [(value,)] = cast(
            "list[tuple[str]]",
            connection.execute("SELECT current_setting(%s)", (setting,)).fetchall(),
        )
        if value != wanted:
            raise StoreUnsafe(
                f"PostgreSQL has {setting} = {value}; jobs are safe with {wanted} alone."
            )
