"""`SqliteStore`: works run in the writer's thread or in a reader's."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from tunegate.control.store.errors import StoreUnsafe, unavailable
from tunegate.control.store.protocol import Created, Submission
from tunegate.control.store.schema import migrate
from tunegate.control.store.sql.creator import Creator
from tunegate.control.store.sql.statement import Transaction, Work
from tunegate.control.store.sql.store import SqlStore
from tunegate.control.store.sqlite import dialect
from tunegate.control.store.sqlite.connection import (
    TROUBLE,
    create_private,
    open_reader,
    open_writer,
)
from tunegate.control.store.sqlite.creating import create_all, rows_of
from tunegate.control.store.sqlite.readers import Readers
from tunegate.control.store.sqlite.safety import FileLock, check_file_system, check_sqlite_version
from tunegate.control.store.sqlite.schema import SqliteSchema, known
from tunegate.control.store.sqlite.scrubber import Scrubber
from tunegate.control.store.sqlite.writer import Writer
from tunegate.sdk.clock import Clock

T = TypeVar("T")


class SqliteStore(SqlStore):
    """One database file for one gateway process. See `JobStore` for what each method promises."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__()
        path = path.resolve()  # one file has one lock, by whatever name it is reached
        self._path = path
        self._clock = clock
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._writer = Writer(partial(open_writer, path), clock, self._notify)
        self._readers = Readers(partial(open_reader, path))
        self._creator = Creator(self._create_all, super().create_job)
        self._scrubber = Scrubber(path)

    async def open(self) -> None:
        """Raises StoreUnsafe where acknowledged work could be lost, `unavailable` when the disk gives trouble."""
        check_sqlite_version()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_file_system(self._path.parent)
        self._lock.acquire()
        try:
            create_private(self._path)
            with closing(open_writer(self._path)) as db:
                migrate(SqliteSchema(db), known(), self.now_ms())
        except TROUBLE as error:
            self._lock.release()
            raise unavailable() from error
        except BaseException:
            self._lock.release()
            raise
        self._writer.start()
        self._readers.start()
        self._scrubber.start()

    async def open_to_read(self) -> None:
        """Beside the gateway that has the file open; writing methods raise `unavailable`."""
        check_sqlite_version()
        if not self._path.exists():
            raise StoreUnsafe(f"There is no job store at {self._path}.")
        self._readers.start()

    async def close(self) -> None:
        await self._scrubber.stop()
        await self._writer.stop()
        await self._readers.stop()
        self._lock.release()

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def create_job(self, submission: Submission) -> Created:
        if submission.max_jobs is not None:  # counted in its own transaction
            return await super().create_job(submission)
        return await self._creator.create(submission)

    async def _create_all(self, group: Sequence[Submission]) -> list[Created]:
        now_ms = self.now_ms()
        rows = [rows_of(submission, now_ms) for submission in group]
        return await self._writer.run(lambda tx: create_all(tx, rows))

    async def _write(self, work: Callable[[Transaction], Work[T]]) -> T:
        return await self._writer.run(lambda tx: dialect.write(tx.db, tx, work(tx)))

    async def _read(self, work: Callable[[], Work[T]]) -> T:
        return await self._readers.run(lambda db: dialect.read(db, work()))
