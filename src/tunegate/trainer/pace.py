"""`SavePace`: how often to save and how long before the end, from what steps and saves were seen to cost."""

from dataclasses import dataclass

LARGEST_SHARE = 0.01
"""Part of the training time that may be lost while a checkpoint is copied."""
BUSY_SHARE = 0.05
"""Part of the time in which one may be on its way to the bucket."""
LEAST_S, MOST_S = 60.0, 600.0
"""Seconds between checkpoints; the larger one is also the work that a crash may cost."""
GOODBYE_S = 5.0
"""For the last events and logs."""
FORGETTING = 0.95


def interval_s(copy_s: float, store_s: float) -> float:
    """Seconds from one checkpoint to the next: as few as the shares allow, and never too many."""
    return min(MOST_S, max(LEAST_S, copy_s / LARGEST_SHARE, store_s / BUSY_SHARE))


@dataclass(slots=True)
class SavePace:
    """What was measured, in seconds of a monotonic clock. Before the first checkpoint nothing is known: it comes early."""

    now_s: float
    copy_s: float = 0.0
    """How long training stood still for the last checkpoint."""
    store_s: float = 0.0
    """How long the last one took from the copy to the bucket."""
    step_s: float = 0.0
    """The longest of the latest steps, evaluations between them included."""
    begun_s: float = 0.0

    def __post_init__(self) -> None:
        self.begun_s = self.now_s

    def step_ended(self, now_s: float) -> None:
        self.step_s = max(now_s - self.now_s, FORGETTING * self.step_s)
        self.now_s = now_s

    @property
    def save_s(self) -> float:
        """What a checkpoint takes, until it is complete."""
        return self.copy_s + self.store_s

    @property
    def due(self) -> bool:
        return self.now_s - self.begun_s >= interval_s(self.copy_s, self.store_s)

    @property
    def reserve_s(self) -> float:
        """A run that stops so long before its end has its last checkpoint complete in time.

        A step may be under way then, and so may a checkpoint, before which no other one can begin.
        """
        return self.step_s + 2 * self.save_s + GOODBYE_S
