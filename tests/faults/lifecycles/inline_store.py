"""The store's real SQL in one thread: works run at once on a database in memory."""

from collections.abc import Callable
from typing import TypeVar

import apsw

from support.job_samples import GENERATION
from tunegate.control.store.schema import migrate
from tunegate.control.store.sql.statement import Transaction as SqlTransaction
from tunegate.control.store.sql.statement import Work
from tunegate.control.store.sql.store import SqlStore
from tunegate.control.store.sqlite import dialect
from tunegate.control.store.sqlite.schema import SqliteSchema, known
from tunegate.control.store.sqlite.writer import Transaction
from tunegate.sdk.clock import Clock

T = TypeVar("T")


class InlineStore(SqlStore):
    """Durability is another campaign's concern; here it is who writes what, and in which order."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._generation = GENERATION
        self.db = apsw.Connection(":memory:")
        self.db.execute("PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON")

    async def open(self) -> None:
        migrate(SqliteSchema(self.db), known(), self.now_ms())

    async def close(self) -> None:
        self.db.close()

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def _write(self, work: Callable[[SqlTransaction], Work[T]]) -> T:
        tx = Transaction(db=self.db, now_ms=self.now_ms())
        with self.db:
            result = dialect.write(self.db, tx, work(tx))
        for uid in sorted(tx.touched):
            self._notify(uid)
        return result

    async def _read(self, work: Callable[[], Work[T]]) -> T:
        return dialect.read(self.db, work())
