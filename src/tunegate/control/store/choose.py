"""Which driver: PostgreSQL where a URL is set, else a SQLite file."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from tunegate.control.settings import StoreSettings
from tunegate.control.store.schema import Migration, SchemaDatabase
from tunegate.control.store.sql.store import SqlStore
from tunegate.sdk.clock import Clock


class Administration(Protocol):
    """What an operator does to a store from outside a gateway."""

    place: str
    """Where it is, for people; without a password."""

    def known(self) -> list[Migration]: ...
    def schema(self, *, to_write: bool) -> AbstractContextManager[SchemaDatabase]:
        """A connection that migrates, or only looks. Raises StoreUnsafe, `unavailable`."""
        ...

    def checks(self) -> Iterator[tuple[str, str | None]]:
        """What is looked at, and what is wrong with it."""
        ...


def make_store(settings: StoreSettings, path: Path, clock: Clock) -> SqlStore:
    """The store, not opened yet; `path` is that of the SQLite file. Raises ValueError when the URL can't be used."""
    if settings.url is None:
        from tunegate.control.store.sqlite import SqliteStore

        return SqliteStore(path, clock)
    _need_psycopg()
    from tunegate.control.store.postgres import PostgresStore

    return PostgresStore(settings.url, settings)


def administration(settings: StoreSettings, path: Path) -> Administration:
    """Raises ValueError when the URL can't be used."""
    if settings.url is None:
        from tunegate.control.store.sqlite.administration import SqliteAdministration

        return SqliteAdministration(path)
    _need_psycopg()
    from tunegate.control.store.postgres.administration import PostgresAdministration

    return PostgresAdministration(settings.url, settings)


def _need_psycopg() -> None:
    if find_spec("psycopg_pool") is None:
        raise ValueError(
            "store.url needs an extra that is not installed: pip install 'tunegate[postgres]'"
        )
