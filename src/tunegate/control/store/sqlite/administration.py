"""A SQLite store seen from outside a gateway."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from tunegate.control.store.errors import StoreUnsafe, unavailable
from tunegate.control.store.schema import Migration, check_current, state_of
from tunegate.control.store.sqlite.connection import TROUBLE, create_private, open_writer
from tunegate.control.store.sqlite.safety import FileLock, check_file_system, check_sqlite_version
from tunegate.control.store.sqlite.schema import SqliteSchema, known


class SqliteAdministration:
    """See `Administration`. A gateway must not run while the file is migrated."""

    def __init__(self, path: Path) -> None:
        self._path = path = path.resolve()
        self.place = f"SQLite {apsw.sqlite_lib_version()}, {path}"

    def known(self) -> list[Migration]:
        return known()

    @contextmanager
    def schema(self, *, to_write: bool) -> Generator[SqliteSchema]:
        try:
            with self._to_migrate() if to_write else self._to_look() as db:
                yield SqliteSchema(db)
        except TROUBLE as error:
            raise unavailable() from error

    def checks(self) -> Iterator[tuple[str, str | None]]:
        yield "SQLite's version", _problem(check_sqlite_version)
        yield "the file system", _problem(lambda: check_file_system(self._path.parent))
        yield "the file is there", None if self._path.exists() else "it is made at the first start"
        if not self._path.exists():
            return
        mode = self._path.stat().st_mode & 0o777
        yield "the file is private", None if mode == 0o600 else f"its mode is {mode:o}"
        with self._to_look() as db:
            verdict = db.pragma("quick_check")
            yield "the file is whole", None if verdict == "ok" else str(verdict)
            yield "the schema", _problem(lambda: check_current(state_of(SqliteSchema(db)), known()))

    @contextmanager
    def _to_migrate(self) -> Generator[apsw.Connection]:
        check_sqlite_version()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_file_system(self._path.parent)
        lock = FileLock(self._path.with_name(self._path.name + ".lock"))
        lock.acquire()
        try:
            create_private(self._path)
            with closing(open_writer(self._path)) as db:
                yield db
        finally:
            lock.release()

    @contextmanager
    def _to_look(self) -> Generator[apsw.Connection]:
        where = str(self._path) if self._path.exists() else ":memory:"
        with closing(apsw.Connection(where)) as db:
            db.execute("PRAGMA query_only = ON")
            yield db


def _problem(check: Callable[[], None]) -> str | None:
    try:
        check()
    except StoreUnsafe as unsafe:
        return str(unsafe)
    return None
