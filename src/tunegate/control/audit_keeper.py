"""Keeps the audit log: chains what has arrived, writes down what was refused, and says the head where others keep it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from tunegate.contract.audit import AuditHead
from tunegate.control.audit import AuditFilter, Happening, Sealed
from tunegate.control.refusals import Refusals
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import TunegateError

SEAL_S = 0.5
"""Entries are chained so soon after their commit."""
BATCH = 250
"""Chained in one transaction: others that write wait no longer than that takes."""
REFUSALS_S = 10.0
HEAD_S = 3600.0
"""How often the head stands in the gateway's own log, which is kept elsewhere."""
PAGE = 500
logger = logging.getLogger(__name__)


class AuditStore(Protocol):
    """The part of a job store that holds the log."""

    async def note_audit(self, happenings: Sequence[Happening]) -> None: ...
    async def seal_audit(self, limit: int) -> Sealed: ...
    async def audit_head(self) -> AuditHead: ...
    async def read_audit(
        self, wanted: AuditFilter, after: int, limit: int
    ) -> list[tuple[int, bytes]]: ...


class AuditKeeper:
    """One per gateway; several share a store."""

    def __init__(
        self,
        store: AuditStore,
        clock: Clock,
        *,
        on_head: Callable[[AuditHead], None] = lambda _: None,
    ) -> None:
        self.refusals = Refusals()
        self._store = store
        self._clock = clock
        self._on_head = on_head
        self._task: asyncio.Task[None] | None = None
        self._refused_s = self._told_s = clock.monotonic_s()

    async def start(self, *happenings: Happening) -> None:
        """Begin, and write these down first. Raises `unavailable`."""
        await self._store.note_audit(happenings)
        self._task = asyncio.create_task(self._run(), name="audit log")

    async def stop(self) -> None:
        """Everything that was noted is chained when this returns, if the store works."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(TunegateError):
            await self._write_refusals()
            await self._seal()

    def trouble(self) -> str | None:
        """One sentence when the loop has died."""
        dead = self._task is not None and self._task.done()
        return "The audit log is not kept." if dead else None

    async def head(self) -> AuditHead:
        return await self._store.audit_head()

    async def page(self, wanted: AuditFilter, after: int, limit: int) -> list[tuple[int, bytes]]:
        return await self._store.read_audit(wanted, after, limit)

    async def _run(self) -> None:
        while True:
            try:
                await self._step()
            except TunegateError as error:
                logger.warning("The audit log can't be written now: %s", error)
            except Exception:
                logger.exception("The audit log could not be written")
            await self._clock.sleep(SEAL_S)

    async def _step(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._refused_s >= REFUSALS_S:
            self._refused_s = now_s
            await self._write_refusals()
        head = await self._seal()
        if head is not None and now_s - self._told_s >= HEAD_S:
            self._told_s = now_s
            logger.info("audit log: entry %d has hash %s", head.sequence, head.hash)

    async def _write_refusals(self) -> None:
        if told := self.refusals.drain():
            await self._store.note_audit(told)

    async def _seal(self) -> AuditHead | None:
        while True:
            sealed = await self._store.seal_audit(BATCH)
            if sealed.head is not None:
                self._on_head(sealed.head)
            if sealed.count < BATCH:
                return sealed.head


async def pages(
    store: AuditStore, wanted: AuditFilter, after: int = 0
) -> AsyncGenerator[list[tuple[int, bytes]]]:
    """All of the log that is wanted, a piece at a time."""
    while page := await store.read_audit(wanted, after, PAGE):
        yield page
        after = page[-1][0]
