"""`Followers`: every tracker of a job in a thread of its own, told of metrics and of the end."""

import importlib.util
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from tunegate.contract.attempt import (
    FailedEvent,
    MetricsEvent,
    StoppedEvent,
    SucceededEvent,
    TrainerEvent,
)
from tunegate.contract.training import TrackerPlan, TrainerSecrets, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.trackers.address import check_address
from tunegate.trainer.trackers.tracker import Outcome, TrackedRun, Tracker, tracked_run

Say = Callable[[str], None]
MOST_WAITING = 10_000
PATIENCE_S = 30.0
"""How long the end of a job waits for its trackers, all together."""
OUTCOMES: dict[type, Outcome] = {
    SucceededEvent: "succeeded", FailedEvent: "failed", StoppedEvent: "stopped",
}  # fmt: skip


class Followers:
    """The trackers of one attempt. One that fails is left out from then on, with a note."""

    def __init__(self, followers: "list[Follower]") -> None:
        self._followers = followers

    def event(self, event: TrainerEvent) -> None:
        """Pass on what trackers care for. Never blocks."""
        if isinstance(event, MetricsEvent):
            for follower in self._followers:
                follower.put((event.step, event.values))
        elif (outcome := OUTCOMES.get(type(event))) is not None:
            for follower in self._followers:
                follower.put(outcome)

    def wait(self, timeout_s: float = PATIENCE_S) -> None:
        """Until all have finished after the end of the job, but not for long."""
        share_s = timeout_s / max(len(self._followers), 1)
        for follower in self._followers:
            follower.wait(share_s)


class Follower:
    """One tracker behind a queue."""

    def __init__(self, kind: str, start: Callable[[], Tracker], say: Say) -> None:
        self._kind = kind
        self._start = start
        self._say = say
        self._queue: queue.Queue[tuple[int, dict[str, float]] | Outcome] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._serve, name=f"tracker-{kind}", daemon=True)
        self._thread.start()

    def put(self, item: tuple[int, dict[str, float]] | Outcome) -> None:
        """Metrics that a tracker is too slow for are lost to it."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            return

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._say(f"{self._kind} did not take all metrics in time")

    def _serve(self) -> None:
        try:
            tracker = self._start()
            while True:
                item = self._queue.get()
                if isinstance(item, str):
                    tracker.finish(item)
                    return
                tracker.log(*item)
        except Exception as error:  # noqa: BLE001 (foreign code; its message may hold the key)
            self._say(f"{self._kind} gets no metrics any more ({type(error).__name__})")


def follow(spec: TrainingSpec, secrets: TrainerSecrets, logs: Path, say: Say) -> Followers:
    """Start the trackers that the job names. Raises TunegateError config_invalid."""
    plans = spec.output.trackers
    for plan in plans:
        if importlib.util.find_spec(plan.kind) is None:
            sentence = f"The tracker {plan.kind} is not installed where this job runs."
            raise TunegateError("config_invalid", sentence)
        if plan.tracking_uri is not None:
            check_address(plan.kind, plan.tracking_uri, spec.storage)
    keys = [*secrets.tracker_keys, *[None] * len(plans)]
    runs = [tracked_run(spec, plan, key, logs) for plan, key in zip(plans, keys, strict=False)]
    return Followers([Follower(run.plan.kind, _starter(run), say) for run in runs])


def _starter(run: TrackedRun) -> Callable[[], Tracker]:
    def start() -> Tracker:
        return _tracker(run.plan)(run)

    return start


def _tracker(plan: TrackerPlan) -> Callable[[TrackedRun], Tracker]:
    """The adapter; its library is imported with the first run."""
    from tunegate.trainer.trackers.mlflow import MlflowTracker
    from tunegate.trainer.trackers.trackio import TrackioTracker
    from tunegate.trainer.trackers.wandb import WandbTracker

    kinds: dict[str, Callable[[TrackedRun], Tracker]] = {
        "mlflow": MlflowTracker, "wandb": WandbTracker, "trackio": TrackioTracker,
    }  # fmt: skip
    return kinds[plan.kind]
