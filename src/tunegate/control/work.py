"""A loop that leases pieces of work and handles each in a task of its own. Level-triggered: hints only make it faster."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from tunegate.sdk.clock import Clock

T = TypeVar("T")
logger = logging.getLogger(__name__)

STOP_TIMEOUT_S = 20.0
"""A clean stop waits so long for the work in hand; what remains is leased again later."""


class WorkLoop(Generic[T]):
    """Leases up to `slots` pieces and looks for more at every hint, after each piece, and every `pause_s`.

    `handle` must not raise; if it does all the same, the piece comes back when its lease runs out.
    """

    def __init__(
        self,
        *,
        name: str,
        lease: Callable[[int], Awaitable[Sequence[T]]],
        handle: Callable[[T], Coroutine[None, None, None]],
        clock: Clock,
        slots: int,
        pause_s: float,
    ) -> None:
        self._name = name
        self._lease = lease
        self._handle = handle
        self._clock = clock
        self._slots = slots
        self._pause_s = pause_s
        self._hint = asyncio.Event()
        self._in_hand: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def is_alive(self) -> bool:
        """Whether the loop runs, for readiness."""
        return self._loop is not None and not self._loop.done()

    def hint(self) -> None:
        """There may be something to do. Call it on the event loop."""
        self._hint.set()

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Take nothing new, finish what is in hand."""
        self._stopping = True
        self._hint.set()
        if self._loop is not None:
            await self._loop
        if self._in_hand:
            _, late = await asyncio.wait(self._in_hand, timeout=STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping:
            self._hint.clear()
            free = self._slots - len(self._in_hand)
            taken = await self._take(free) if free > 0 else 0
            if taken == 0 or taken == free:
                await self._pause()

    async def _take(self, free: int) -> int:
        try:
            pieces = await self._lease(free)
        except Exception:
            logger.exception("%s can't lease work now", self._name)
            return 0
        for piece in pieces:
            task = asyncio.create_task(self._handle(piece))
            self._in_hand.add(task)
            task.add_done_callback(self._done)
        return len(pieces)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        self._hint.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s: a piece of work failed", self._name, exc_info=error)

    async def _pause(self) -> None:
        waits = [
            asyncio.ensure_future(self._hint.wait()),
            asyncio.ensure_future(self._clock.sleep(self._pause_s)),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
            with suppress(asyncio.CancelledError):
                await wait
