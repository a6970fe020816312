"""`StopFlag`: why the run should end early, set from anywhere and looked at between steps."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Literal

StopReason = Literal["cancel", "deadline", "superseded", "signal"]

GRACE_S = 110.0
"""For a last checkpoint after a signal: of the two minutes that engines give, less the time to say goodbye."""
SENTENCES: dict[StopReason, str] = {
    "cancel": "The job was cancelled",
    "deadline": "The time of the job is used up",
    "superseded": "Another run of this attempt goes on",
    "signal": "The run was asked to end",
}


class StopRequested(Exception):
    """Raised where waiting for something ends because the run should stop."""

    def __init__(self, reason: StopReason) -> None:
        self.reason: StopReason = reason
        super().__init__(SENTENCES[reason])


class StopFlag:
    """The first reason stays, but for `superseded`, which forbids to publish anything."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._event = threading.Event()
        self._reason: StopReason | None = None
        self._clock_s = clock_s
        self._leave_by_s = float("inf")

    @property
    def reason(self) -> StopReason | None:
        return self._reason

    @property
    def left_s(self) -> float:
        """Seconds until the run must be gone; infinite while nobody asked for a stop."""
        return self._leave_by_s - self._clock_s()

    def request(self, reason: StopReason, within_s: float = GRACE_S) -> None:
        self._leave_by_s = min(self._leave_by_s, self._clock_s() + within_s)
        if self._reason is None or reason == "superseded":
            self._reason = reason
        self._event.set()

    def check(self) -> None:
        """Raise StopRequested when a stop was asked for."""
        if self._reason is not None:
            raise StopRequested(self._reason)

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT ask for a stop. Call it in the main thread."""

        def handle(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.request("signal")

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)
