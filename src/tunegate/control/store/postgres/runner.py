"""Transactions: retried as long as it is certain that nothing was committed, `unavailable` as soon as it is not."""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tunegate.control.settings import StoreSettings
from tunegate.control.store.errors import unavailable
from tunegate.control.store.postgres import dialect
from tunegate.control.store.postgres.clock import DatabaseClock
from tunegate.control.store.postgres.connections import cut_after
from tunegate.control.store.postgres.dialect import Connection
from tunegate.control.store.postgres.trouble import TROUBLE, has_rolled_back
from tunegate.control.store.sql.statement import Statement, Transaction, Work
from tunegate.sdk.clock import Clock

T = TypeVar("T")
RETRY_FOR_S = 2.0
IDLE_S = 3.0
"""A lease and this must fit into the time within which another replica takes over."""
_BEGIN = Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", {})
_COMMIT = Statement("COMMIT", {})
_SETTINGS = """
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    set_config('statement_timeout', :limit, true),
    set_config('idle_in_transaction_session_timeout', :idle, true),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit')
        WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true),
    (SELECT coalesce(max(version), 0) FROM schema_min_writer)
"""
"""Local to the transaction. The idle limit frees the rows of a process that was frozen in the middle of one."""
logger = logging.getLogger(__name__)


class _OutcomeUnknown(Exception):
    """The connection was lost after COMMIT was sent."""


class Runner:
    """Runs works on connections of the pool. `clock` replaces the database's own (tests)."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        settings: StoreSettings,
        schema: int,
        clock: Clock | None,
    ) -> None:
        """`schema` is the newest that this release knows: once a database asks for more, nothing is written."""
        self._pool = pool
        self._limit_s = settings.statement_timeout_s
        self._schema = schema
        self._given = clock
        self._clock = DatabaseClock()

    def now_ms(self) -> int:
        return self._given.now_ms() if self._given else self._clock.now_ms()

    async def write(self, work: Callable[[Transaction], Work[T]]) -> tuple[T, set[str]]:
        """The result and what was touched, once they are durable. Raises what the work raises, or `unavailable`."""
        return await self._retried(lambda connection: self._transact(connection, work))

    async def read(self, work: Callable[[], Work[T]]) -> T:
        """Each statement sees what was committed before it."""
        return await self._retried(lambda connection: dialect.run(connection, work(), []))

    async def _retried(self, attempt: Callable[[Connection], Awaitable[T]]) -> T:
        give_up_s = time.monotonic() + RETRY_FOR_S
        for tries in itertools.count():
            try:
                async with (
                    self._pool.connection() as connection,
                    cut_after(connection, self._limit_s),
                ):
                    return await attempt(connection)
            except _OutcomeUnknown as unknown:
                raise unavailable() from unknown
            except PoolTimeout as error:
                raise unavailable() from error
            except TROUBLE as error:
                if time.monotonic() > give_up_s or self._pool.closed:
                    raise unavailable() from error
                await _pause(tries)
        raise AssertionError("unreachable")

    async def _transact(
        self, connection: Connection, work: Callable[[Transaction], Work[T]]
    ) -> tuple[T, set[str]]:
        tx = Transaction(await self._begin(connection))
        try:
            result = await dialect.run(connection, work(tx), tx.pending)
        except BaseException:
            with suppress(*TROUBLE):
                await connection.rollback()
            raise
        await self._commit(connection, tx.pending)
        return result, tx.touched

    async def _begin(self, connection: Connection) -> int:
        began_s = time.monotonic()
        idle_s = min(IDLE_S, self._limit_s)
        limits = {"limit": f"{int(self._limit_s * 1000)}ms", "idle": f"{int(idle_s * 1000)}ms"}
        cursor = await dialect.send(connection, [_BEGIN, Statement(_SETTINGS, limits)])
        [(database_ms, *_, min_writer)] = await cursor.fetchall()
        self._clock.observe(database_ms, began_s, time.monotonic())
        if min_writer > self._schema:
            await connection.rollback()
            logger.error("The job store's schema has become too new for this release")
            raise unavailable()
        return self._given.now_ms() if self._given else database_ms

    async def _commit(self, connection: Connection, pending: list[Statement]) -> None:
        try:
            cursor = await dialect.send(connection, [*pending, _COMMIT])
        except TROUBLE as error:
            if has_rolled_back(error):
                await connection.rollback()
                raise
            raise _OutcomeUnknown from error
        except BaseException:
            with suppress(*TROUBLE):
                await connection.rollback()
            raise
        if cursor.statusmessage != "COMMIT":
            raise RuntimeError(f"the transaction ended with {cursor.statusmessage}")


async def _pause(tries: int) -> None:
    await asyncio.sleep(random.uniform(0.5, 1.5) * min(0.01 * 2**tries, 0.2))  # noqa: S311 - spreads, hides nothing
