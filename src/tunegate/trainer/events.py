"""`EventBuffer`: events on their way to the gateway, numbered when they leave."""

import threading
from collections import deque

from tunegate.contract.attempt import ProgressEvent, SequencedEvent, TrainerEvent

LARGEST_BATCH = 500
CROWDED = 10_000
"""Waiting events from which on only the newest progress report is kept."""


class EventBuffer:
    """In order, without gaps: an event gets its number with its first batch and keeps it until it is accepted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, TrainerEvent]] = deque()
        self._sent: list[SequencedEvent] = []
        self._last_number = 0

    def add(self, event: TrainerEvent, at_ms: int) -> None:
        with self._lock:
            if len(self._waiting) >= CROWDED and isinstance(event, ProgressEvent):
                kept = [one for one in self._waiting if not isinstance(one[1], ProgressEvent)]
                self._waiting = deque(kept)
            self._waiting.append((at_ms, event))

    def batch(self) -> list[SequencedEvent]:
        """What to send now: the batch that is not accepted yet, or the next one. Empty when there is nothing."""
        with self._lock:
            while self._waiting and len(self._sent) < LARGEST_BATCH:
                at_ms, event = self._waiting.popleft()
                self._last_number += 1
                self._sent.append(
                    SequencedEvent(sequence=self._last_number, at_ms=at_ms, event=event)
                )
            return list(self._sent)

    def accept(self, through: int) -> None:
        """Forget the events up to this number."""
        with self._lock:
            self._sent = [one for one in self._sent if one.sequence > through]

    @property
    def empty(self) -> bool:
        with self._lock:
            return not self._waiting and not self._sent
