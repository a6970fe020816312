"""Waiting for something new of a job: the store's hint, or a second, whichever comes first."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from tunegate.control.store.protocol import JobStore
from tunegate.sdk.clock import Clock

T = TypeVar("T")
Looks = dict[int | None, "asyncio.Future[Any]"]


class Wakeups:
    """One subscription to the store, and one look at a time, shared by all who follow a job."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._clock = clock
        self._looks: dict[str, Looks] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self.close = store.on_event(self._wake)
        """Ends the subscription."""

    @contextmanager
    def of(self, uid: str) -> Generator[asyncio.Event]:
        """An event that is set whenever the job changed. Clear it before reading, so that nothing is missed."""
        event = asyncio.Event()
        waiting = self._waiting.setdefault(uid, set())
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(uid, None)

    async def wait(self, event: asyncio.Event, at_most_s: float) -> None:
        """Until the event is set, or the time is over (another replica's change gives no hint here)."""
        hint = asyncio.ensure_future(event.wait())
        timer = asyncio.ensure_future(self._clock.sleep(at_most_s))
        try:
            await asyncio.wait((hint, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hint.cancel()
            timer.cancel()

    async def shared(self, uid: str, what: int | None, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of `ask`, a look at the store. All who ask for `what` between two changes of the job share one."""
        looks = self._looks.setdefault(uid, {})
        look = looks.get(what)
        if look is None:
            look = looks[what] = asyncio.ensure_future(ask())
            look.add_done_callback(lambda _: self._forget(uid, looks, what))
        return await asyncio.shield(look)

    def _forget(self, uid: str, looks: Looks, what: int | None) -> None:
        del looks[what]
        if not looks and self._looks.get(uid) is looks:
            del self._looks[uid]

    def _wake(self, uid: str) -> None:
        self._looks.pop(uid, None)  # what was begun before the change may not show it
        for event in self._waiting.get(uid, ()):
            event.set()
