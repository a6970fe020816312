"""The one thread that writes. Requests that wait together share one transaction, and so one sync to disk."""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import apsw

from tunegate.control.caller import Caller, current_caller
from tunegate.control.store.errors import unavailable
from tunegate.control.store.sql.statement import Transaction as SqlTransaction
from tunegate.control.store.sqlite.connection import TROUBLE
from tunegate.sdk.clock import Clock

MAX_BATCH = 256
T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Transaction(SqlTransaction):
    """What a request works with, and the connection that runs it."""

    db: apsw.Connection


Work = Callable[[Transaction], T]


@dataclass(slots=True)
class _Request:
    work: Work[Any]
    future: asyncio.Future[Any]
    caller: Caller
    result: Any = None
    error: Exception | None = None
    touched: set[str] = field(default_factory=set[str])


class Writer:
    """Group commit: each request runs in a savepoint of its own, a failing one is undone alone."""

    def __init__(
        self, connect: Callable[[], apsw.Connection], clock: Clock, notify: Callable[[str], None]
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._notify = notify
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._db: apsw.Connection | None = None
        self._draining = False

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """Run `work` in the next transaction; returns once it is on disk. Raises what it raises, or `unavailable`."""
        if self._loop is None:
            raise unavailable()
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Request(work, future, current_caller()))
        return await future

    async def stop(self) -> None:
        """Finish what waits, then end the thread."""
        if self._loop is not None:
            self._loop = None
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        while batch := self._next_batch():
            loop = batch[0].future.get_loop()
            self._write(batch)
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(self._answer, batch)
        self._disconnect()

    def _next_batch(self) -> list[_Request]:
        """All that waits, at least one and at most MAX_BATCH; empty at the end."""
        batch: list[_Request] = []
        while len(batch) < MAX_BATCH and not self._draining:
            try:
                request = self._queue.get(block=not batch)
            except queue.Empty:
                break
            if request is None:
                self._draining = True
            else:
                batch.append(request)
        return batch

    def _write(self, batch: list[_Request]) -> None:
        try:
            db = self._db = self._db or self._connect()
            db.execute("BEGIN IMMEDIATE")
            for request in batch:
                self._perform(db, request)
            db.execute("COMMIT")
        except Exception as error:
            # Nothing of this transaction counts, whatever went wrong, and the thread must live on. A fresh connection
            # carries no trace of the trouble.
            logger.exception("The job store could not commit %d requests", len(batch))
            self._disconnect()
            for request in batch:
                request.error = unavailable()
                request.error.__cause__ = error

    def _perform(self, db: apsw.Connection, request: _Request) -> None:
        db.execute("SAVEPOINT request")
        transaction = Transaction(db=db, now_ms=self._clock.now_ms(), caller=request.caller)
        try:
            request.result = request.work(transaction)
        except TROUBLE:
            raise
        except Exception as error:  # noqa: BLE001 - it is handed to the caller
            request.error = error
            db.execute("ROLLBACK TO request")
        else:
            request.touched = transaction.touched
        db.execute("RELEASE request")

    def _answer(self, batch: list[_Request]) -> None:
        """On the event loop: hand out the results, then tell the listeners."""
        touched: set[str] = set()
        for request in batch:
            if request.error is None:
                touched |= request.touched
            if request.future.done():  # its caller was cancelled; the work is done all the same
                continue
            if request.error is None:
                request.future.set_result(request.result)
            else:
                request.future.set_exception(request.error)
        for uid in touched:
            self._notify(uid)

    def _disconnect(self) -> None:
        if self._db is not None:
            with contextlib.suppress(apsw.Error):
                self._db.close()
            self._db = None
