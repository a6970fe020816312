"""The numbered migrations of a database: what is there, what this release knows, and the way from one to the other.

A migration first adds (expand) and, a release later, takes away (contract). `-- min_writer: N` in a script says that
releases which know no schema beyond N-1 may not write any more once it is applied. Without it, the previous release
goes on beside the new one: it takes a schema newer than its own as long as it is allowed to write.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import resources
from typing import Any, NamedTuple, Protocol

from tunegate.control.store.errors import StoreUnsafe

_MIN_WRITER = re.compile(r"^-- min_writer: (\d+)$", re.MULTILINE)
_TABLES = """
CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_ms BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS schema_min_writer (version INTEGER PRIMARY KEY);
"""


class Migration(NamedTuple):
    """One script. `min_writer` 0: whoever could write before still can."""

    version: int
    name: str
    script: str

    @property
    def min_writer(self) -> int:
        found = _MIN_WRITER.search(self.script)
        return int(found[1]) if found else 0


class State(NamedTuple):
    """What a database has. Version 0: nothing yet."""

    version: int
    min_writer: int


class SchemaDatabase(Protocol):
    """A connection that migrates."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, and no other process migrates meanwhile."""
        ...

    def run(self, script: str) -> None: ...
    def rows(self, sql: str) -> list[tuple[Any, ...]]: ...
    def has_table(self, name: str) -> bool: ...


def migrations(package: str) -> list[Migration]:
    """The scripts in the `migrations` folder of a driver's package, in order."""
    folder = resources.files(package).joinpath("migrations")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(int(f.name.split("_")[0]), f.name, f.read_text()) for f in files]


def state_of(db: SchemaDatabase) -> State:
    """Reads alone."""
    return State(_highest(db, "schema_version"), _highest(db, "schema_min_writer"))


def pending(db: SchemaDatabase, known: Sequence[Migration]) -> list[Migration]:
    """What a migration would apply."""
    present = state_of(db).version
    return [migration for migration in known if migration.version > present]


def migrate(
    db: SchemaDatabase, known: Sequence[Migration], now_ms: int, to: int | None = None
) -> list[Migration]:
    """Apply what is missing, up to version `to`, each script in a transaction of its own; returns what was applied.

    Raises StoreUnsafe when this release may not write to the database.
    """
    applied: list[Migration] = []
    while True:
        with db.transaction():
            db.run(_TABLES)
            state = state_of(db)
            check_writable(state, known)
            following = [
                m for m in known if m.version > state.version and m.version <= (to or m.version)
            ]
            if not following:
                return applied
            _apply(db, following[0], now_ms)
            applied.append(following[0])


def check_writable(state: State, known: Sequence[Migration]) -> None:
    """Raises StoreUnsafe when a newer release has made this one's way of writing unsafe."""
    newest = known[-1].version
    if state.version > newest and state.min_writer > newest:
        raise StoreUnsafe(
            f"The job store has schema {state.version}, which takes writers that know {state.min_writer} or newer; "
            f"this release knows {newest}: upgrade."
        )


def check_current(state: State, known: Sequence[Migration]) -> None:
    """Raises StoreUnsafe also when the schema is older than this release needs."""
    check_writable(state, known)
    newest = known[-1].version
    if state.version < newest:
        raise StoreUnsafe(
            f"The job store has schema {state.version}, this release needs {newest}: run `tunegate db migrate`."
        )


def _apply(db: SchemaDatabase, migration: Migration, now_ms: int) -> None:
    db.run(migration.script)
    db.run(f"INSERT INTO schema_version VALUES ({migration.version}, {now_ms})")  # noqa: S608 - numbers
    if migration.min_writer:
        db.run(
            f"INSERT INTO schema_min_writer VALUES ({migration.min_writer}) ON CONFLICT DO NOTHING"  # noqa: S608 - a number
        )


def _highest(db: SchemaDatabase, table: str) -> int:
    if not db.has_table(table):
        return 0
    return int(db.rows(f"SELECT coalesce(max(version), 0) FROM {table}")[0][0])  # noqa: S608 - constants
