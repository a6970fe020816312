"""`Reporter`: says what happens, to the log at once and to the gateway in the background."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future

from tunegate.contract.attempt import (
    FailedEvent,
    HeartbeatEvent,
    IgnoredEvent,
    MetricsEvent,
    NoteEvent,
    PhaseEvent,
    TrainerEvent,
)
from tunegate.sdk.clock import Clock
from tunegate.trainer.background import Background
from tunegate.trainer.events import EventBuffer
from tunegate.trainer.gateway import Gateway, GatewayRefused, GatewayUnreachable
from tunegate.trainer.logbook import Logbook
from tunegate.trainer.stop import StopFlag

HEARTBEAT_S = 15.0
LONGEST_PAUSE_S = 10.0
LONGEST_TEXT = 2000


class Reporter:
    """Without a client (no gateway) events go to the log alone. Delivery never holds the training up."""

    def __init__(
        self, logbook: Logbook, client: Gateway | None, stop: StopFlag, clock: Clock
    ) -> None:
        self.logbook = logbook
        self._client = client
        self._stop = stop
        self._clock = clock
        self._buffer = EventBuffer()
        self._pump: Future[None] | None = None
        self._followers: list[Callable[[TrainerEvent], None]] = []

    def start(self, background: Background) -> None:
        """Begin to deliver."""
        if self._client is not None:
            self._pump = background.start(self._deliver(self._client))

    def follow(self, follower: Callable[[TrainerEvent], None]) -> None:
        """Let somebody hear every event from now on; the call must not block."""
        self._followers.append(follower)

    def emit(self, event: TrainerEvent) -> None:
        at_ms = self._clock.now_ms()
        for follower in self._followers:
            follower(event)
        self.logbook.event(event, at_ms)
        if self._client is not None:
            self._buffer.add(event, at_ms)

    def phase(self, phase: str, detail: str) -> None:
        self.emit(PhaseEvent(phase=phase, detail=clip(detail)))

    def note(self, text: str) -> None:
        self.emit(NoteEvent(text=clip(text)))

    def ignored(self, path: str, reason: str) -> None:
        self.emit(IgnoredEvent(path=path[:300], reason=clip(reason)))

    def failed(self, code: str, detail: str) -> None:
        self.emit(FailedEvent(code=code, detail=clip(detail)))

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Numbers of one step; those that are not finite are left out, for JSON has no word for them."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.emit(MetricsEvent(step=step, values=finite))

    def say(self, text: str) -> None:
        """A line for the log alone."""
        self.logbook.line(clip(text), self._clock.now_ms())

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until the gateway has everything; False when it did not come to that in time."""
        if self._pump is None:
            return True
        give_up_at_s = time.monotonic() + timeout_s
        while not self._buffer.empty and not self._pump.done():
            if time.monotonic() > give_up_at_s:
                return False
            time.sleep(0.02)
        return self._buffer.empty

    async def _deliver(self, client: Gateway) -> None:
        pause_s = client.pace_s
        spoke_at_s = self._clock.monotonic_s()
        while True:
            await self._clock.sleep(pause_s)
            if self._buffer.empty and self._clock.monotonic_s() - spoke_at_s >= HEARTBEAT_S:
                self._buffer.add(HeartbeatEvent(), self._clock.now_ms())
            batch = self._buffer.batch()
            if not batch:
                continue
            try:
                receipt = await client.send(batch)
            except GatewayRefused:
                self._stop.request("superseded")
                return
            except GatewayUnreachable as error:
                if pause_s == client.pace_s:
                    self.say(f"the gateway does not take events now: {error}; training goes on")
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            self._buffer.accept(receipt.accepted_through)
            if receipt.stop is not None:
                self._stop.request(receipt.stop)
            spoke_at_s, pause_s = self._clock.monotonic_s(), client.pace_s


def clip(text: str) -> str:
    """One line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
