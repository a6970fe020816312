"""`StopFlag`: why the run should end early, set from anywhere and looked at between steps."""

import signal
import threading
from types import FrameType
from typing import Literal

StopReason = Literal["cancel", "deadline", "superseded", "signal"]

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

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason: StopReason | None = None

    @property
    def reason(self) -> StopReason | None:
        return self._reason

    def request(self, reason: StopReason) -> None:
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
