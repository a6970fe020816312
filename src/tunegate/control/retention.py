"""What is old goes: jobs, their events, logs and webhooks, ended tokens, and the far end of the audit log."""

import asyncio
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tunegate.control.kept_log import kept_logs
from tunegate.control.records import FINAL, JobRecord
from tunegate.control.settings import RetentionSettings
from tunegate.control.store.protocol import Expirable
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import TunegateError

SWEEP_S = 60.0
BATCH = 20
"""Jobs in one transaction: each may have many rows, and others wait to write meanwhile."""
AUDIT_BATCH = 500
MOST_BATCHES = 500
"""Of each kind in one sweep; the rest is the next sweep's."""
PAUSE_S = 0.02
"""Between batches, so that what clients do comes first."""
logger = logging.getLogger(__name__)
_SUBJECTS: tuple[Expirable, ...] = ("events", "deliveries", "jobs", "tokens")


class RetentionStore(Protocol):
    """The part of a job store that forgets."""

    def now_ms(self) -> int: ...
    async def get_by_uid(self, uid: str) -> JobRecord | None: ...
    async def take_retention_turn(self, for_ms: int) -> bool: ...
    async def expire(self, what: Expirable, before_ms: int, limit: int) -> Sequence[str]: ...
    async def trim_audit(self, before_ms: int, limit: int) -> int: ...


class Retention:
    """One gateway at a time sweeps the store; each sweeps its own disk."""

    def __init__(
        self,
        store: RetentionStore,
        settings: RetentionSettings,
        clock: Clock,
        state_dir: Path,
        removed: Callable[[str, int], None] = lambda _what, _count: None,
    ) -> None:
        """`removed` is told what went, and how many."""
        self._store = store
        self._settings = settings
        self._clock = clock
        self._state_dir = state_dir
        self._removed = removed
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def sweep(self) -> None:
        """Once, as far as one sweep goes. Raises `unavailable`."""
        if await self._store.take_retention_turn(int(SWEEP_S * 1000)):
            for what in _SUBJECTS:
                await self._expire(what)
            await self._trim_audit()
        await self._remove_logs()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            try:
                await self.sweep()
            except TunegateError as error:
                logger.warning("Old records can't be removed now: %s", error)
            except Exception:
                logger.exception("Old records could not be removed")

    def _before_ms(self, what: str) -> int | None:
        """What is older goes; None = nothing does."""
        kept_s: float = getattr(self._settings, f"{what}_s")
        return self._store.now_ms() - int(kept_s * 1000) if kept_s else None

    async def _expire(self, what: Expirable) -> None:
        before_ms = self._before_ms(what)
        if before_ms is None:
            return
        for _ in range(MOST_BATCHES):
            gone = await self._store.expire(what, before_ms, BATCH)
            self._removed(what, len(gone))
            if what == "jobs":
                for uid in gone:
                    await self._remove_log(uid)
            if len(gone) < BATCH:
                return
            await self._clock.sleep(PAUSE_S)

    async def _trim_audit(self) -> None:
        before_ms = self._before_ms("audit")
        if before_ms is None:
            return
        for _ in range(MOST_BATCHES):
            count = await self._store.trim_audit(before_ms, AUDIT_BATCH)
            self._removed("audit", count)
            if count < AUDIT_BATCH:
                return
            await self._clock.sleep(PAUSE_S)

    async def _remove_logs(self) -> None:
        before_ms = self._before_ms("logs")
        if before_ms is None:
            return
        for uid in await asyncio.to_thread(_untouched_since, self._state_dir, before_ms / 1000):
            job = await self._store.get_by_uid(uid)
            if job is None or job.state in FINAL:
                await self._remove_log(uid)
                self._removed("logs", 1)

    async def _remove_log(self, uid: str) -> None:
        folder = kept_logs(self._state_dir, uid)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _untouched_since(state_dir: Path, moment_s: float) -> list[str]:
    """Jobs of which every kept log is older."""
    root = state_dir / "logs"
    if not root.is_dir():
        return []
    return sorted(
        folder.name
        for folder in root.iterdir()
        if folder.is_dir()
        and all(file.stat().st_mtime < moment_s for file in [folder, *folder.iterdir()])
    )
