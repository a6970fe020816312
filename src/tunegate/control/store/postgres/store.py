"""`PostgresStore`: works run in transactions on a pool; several replicas share the database."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import psycopg

from tunegate.contract.secret import Secret
from tunegate.control.settings import StoreSettings
from tunegate.control.store.errors import unavailable
from tunegate.control.store.postgres.connections import conninfo, open_pool
from tunegate.control.store.postgres.creating import create_all
from tunegate.control.store.postgres.hints import Hints
from tunegate.control.store.postgres.runner import Runner
from tunegate.control.store.postgres.schema import PostgresSchema, check_server, known
from tunegate.control.store.postgres.trouble import TROUBLE
from tunegate.control.store.protocol import Created, Submission
from tunegate.control.store.schema import check_current, migrate, state_of
from tunegate.control.store.sql.creator import Creator
from tunegate.control.store.sql.statement import Transaction, Work
from tunegate.control.store.sql.store import SqlStore
from tunegate.sdk.clock import Clock

T = TypeVar("T")


class PostgresStore(SqlStore):
    """One database for any number of gateways. See `JobStore` for what each method promises."""

    def __init__(self, url: Secret, settings: StoreSettings, clock: Clock | None = None) -> None:
        """`clock` takes the place of the database's own (tests)."""
        super().__init__()
        self._url = url.reveal()
        self._settings = settings
        self._pool = open_pool(self._url, settings)
        self._runner = Runner(self._pool, settings, known()[-1].version, clock)
        self._hints = Hints(self._pool, conninfo(self._url), self._notify)
        self._creator = Creator(
            lambda submissions: self._write(lambda tx: create_all(tx, submissions)),
            super().create_job,
            sort=True,  # two groups that meet in the unique index wait for each other in one order only
        )
        self._under_way: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Raises StoreUnsafe where acknowledged work could be lost or the schema does not fit, else `unavailable`."""
        try:
            await asyncio.to_thread(self._prepare)
            await self._pool.open()
        except TROUBLE as error:
            raise unavailable() from error
        await self.ping()  # the database's clock is known from here on
        if self._settings.notify:
            self._hints.start()

    async def close(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._hints.stop()
        await self._pool.close()

    def now_ms(self) -> int:
        return self._runner.now_ms()

    async def create_job(self, submission: Submission) -> Created:
        if submission.max_jobs is not None:  # counted in its own transaction
            return await super().create_job(submission)
        return await self._creator.create(submission)

    async def _write(self, work: Callable[[Transaction], Work[T]]) -> T:
        result, touched = await self._to_its_end(self._runner.write(work))
        for uid in touched:
            self._notify(uid)
        if self._settings.notify:
            self._hints.tell(touched)
        return result

    async def _read(self, work: Callable[[], Work[T]]) -> T:
        return await self._to_its_end(self._runner.read(work))

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """A caller that is cancelled leaves nothing half done: the work goes on without it."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where the caller is gone

    def _prepare(self) -> None:
        with psycopg.connect(conninfo(self._url), autocommit=True) as connection:
            check_server(connection)
            schema = PostgresSchema(connection)
            if self._settings.migrate_at_start:
                migrate(schema, known(), time.time_ns() // 1_000_000)
            check_current(state_of(schema), known())
