"""Waiting for something new of a job: the store's hint, or a second, whichever comes first."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from tunegate.control.store.protocol import JobStore
from tunegate.sdk.clock import Clock


class Wakeups:
    """One subscription to the store, shared by all who follow a job."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._clock = clock
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

    def _wake(self, uid: str) -> None:
        for event in self._waiting.get(uid, ()):
            event.set()
