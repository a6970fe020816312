"""`Deadline`: when the time of a run is over, and how long before that it stops."""

from tunegate.sdk.clock import Clock
from tunegate.trainer.stop import GRACE_S, StopFlag

USUAL_SHARE, USUAL_MOST_S = 0.1, 60.0
"""What is kept of the time for a last checkpoint when nothing was measured yet."""
LOOK_S = 1.0


class Deadline:
    """Asks for a stop while there is time to save. `budget_s` counts from now and may be infinite."""

    def __init__(self, stop: StopFlag, clock: Clock, budget_s: float) -> None:
        self._stop = stop
        self._clock = clock
        self._ends_at_s = clock.monotonic_s() + budget_s
        self._usual_s = min(USUAL_MOST_S, USUAL_SHARE * budget_s)
        self._most_s = budget_s / 2
        self._reserve_s = self._usual_s

    @property
    def remaining_s(self) -> float:
        return self._ends_at_s - self._clock.monotonic_s()

    def reserve(self, seconds: float) -> None:
        """Keep so much for the last checkpoint, if it is more than usual; at most half of the time."""
        self._reserve_s = min(max(seconds, self._usual_s), self._most_s)

    async def watch(self) -> None:
        """Return when the stop was asked for."""
        if self._ends_at_s == float("inf"):
            return
        while (left_s := self.remaining_s - self._reserve_s) > 0:
            await self._clock.sleep(min(left_s, LOOK_S))
        # Engines end a run a grace after its time: a checkpoint that is late may still be complete by then.
        self._stop.request("deadline", within_s=max(0.0, self.remaining_s) + GRACE_S)
