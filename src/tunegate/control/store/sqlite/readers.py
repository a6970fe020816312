"""A few connections that read committed state while the writer writes."""

import asyncio
import contextlib
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apsw

from tunegate.control.store.errors import unavailable
from tunegate.control.store.sqlite.connection import TROUBLE

READERS = 2
T = TypeVar("T")


class Readers:
    """As many threads as connections, so a thread always finds a connection idle."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._idle: queue.SimpleQueue[apsw.Connection | None] = queue.SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None

    def start(self) -> None:
        for _ in range(READERS):
            self._idle.put(None)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    async def run(self, query: Callable[[apsw.Connection], T]) -> T:
        """Run `query` on one snapshot per statement. Raises `unavailable` when the disk gives trouble."""
        if self._threads is None:
            raise unavailable()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query)

    async def stop(self) -> None:
        """Finish what runs, then close the connections."""
        if self._threads is None:
            return
        threads, self._threads = self._threads, None
        await asyncio.to_thread(threads.shutdown)
        for _ in range(READERS):
            _close(self._idle.get())

    def _read(self, query: Callable[[apsw.Connection], T]) -> T:
        db = self._idle.get()
        try:
            db = db or self._connect()
            return query(db)
        except TROUBLE as error:
            _close(db)
            db = None
            raise unavailable() from error
        finally:
            self._idle.put(db)


def _close(db: apsw.Connection | None) -> None:
    if db is not None:
        with contextlib.suppress(apsw.Error):  # a failed clean-up loses nothing that was committed
            db.close()
