"""Destroyed bytes leave the write-ahead log too: it is emptied a short time after the last write."""

import asyncio
import contextlib
import logging
from pathlib import Path

import apsw

from tunegate.control.store.sqlite.connection import TROUBLE, open_scrubber

EVERY_S = 20.0
logger = logging.getLogger(__name__)


class Scrubber:
    """Moves what the log holds into the database, whose freed cells are zeroed, and cuts the log to nothing."""

    def __init__(self, path: Path, every_s: float = EVERY_S) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="store-scrubber")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            # Real time: it is about bytes on a disk, whatever clock the jobs go by.
            await asyncio.sleep(self._every_s)
            with contextlib.suppress(FileNotFoundError):
                if self._log.stat().st_size:
                    await asyncio.to_thread(scrub, self._path)


def scrub(path: Path) -> bool:
    """False when a reader or the writer was in the way: the next round tries again."""
    try:
        db = open_scrubber(path)
        try:
            busy, _, _ = next(db.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        finally:
            db.close()
    except apsw.BusyError:
        return False
    except TROUBLE:
        logger.exception("The write-ahead log could not be emptied")
        return False
    return not busy
