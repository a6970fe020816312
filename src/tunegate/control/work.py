"""A loop that leases pieces of work and handles each in a task of its own. Level-triggered: hints only make it faster."""

import asyncio
import itertools
import logging
import math
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

    A piece that takes longer than `quick_s` gives its slot to another one and goes on, so that slow work does not keep
    quick work waiting; `most` are in hand at once. `handle` must not raise; if it does all the same, the piece comes
    back when its lease runs out.
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
        quick_s: float = math.inf,
        most: int | None = None,
    ) -> None:
        self._name = name
        self._lease = lease
        self._handle = handle
        self._clock = clock
        self._slots = slots
        self._pause_s = pause_s
        self._quick_s = quick_s
        self._most = most or slots
        self._hint = asyncio.Event()
        self._in_hand: dict[asyncio.Task[None], float] = {}
        """When each was begun, the oldest first."""
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
            free = self._free()
            taken = await self._take(free) if free > 0 else 0
            if taken == 0 or taken == free:
                await self._pause()

    def _free(self) -> int:
        in_hand = len(self._in_hand)
        if self._quick_s == math.inf:
            return self._slots - in_hand
        slow_since_s = self._clock.monotonic_s() - self._quick_s
        began_s = reversed(self._in_hand.values())
        quick = sum(1 for _ in itertools.takewhile(lambda at_s: at_s > slow_since_s, began_s))
        return min(self._slots - quick, self._most - in_hand)

    async def _take(self, free: int) -> int:
        try:
            pieces = await self._lease(free)
        except Exception:
            logger.exception("%s can't lease work now", self._name)
            return 0
        began_s = self._clock.monotonic_s()
        for piece in pieces:
            task = asyncio.create_task(self._handle(piece))
            self._in_hand[task] = began_s
            task.add_done_callback(self._done)
        return len(pieces)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_hand.pop(task, None)
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
