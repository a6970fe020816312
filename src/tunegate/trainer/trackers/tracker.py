"""`Tracker`: what is asked of an experiment tracker, and the run that it is told of."""

import hashlib
from pathlib import Path
from typing import Any, Literal, Protocol

from tunegate.contract.base import Wire
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy, TrackerPlan, TrainingSpec

Outcome = Literal["succeeded", "failed", "stopped"]


class Tracker(Protocol):
    """One run in a tracker. Its methods may block and may raise anything; they run in a thread of their own."""

    def log(self, step: int, values: dict[str, float]) -> None: ...
    def finish(self, outcome: Outcome) -> None: ...


class TrackedRun(Wire):
    """`key` is the same for all attempts of a job, so that each goes on with the run of the last one."""

    key: str
    name: str
    plan: TrackerPlan
    api_key: Secret | None
    folder: Path
    """For what a tracker writes on this machine; it is uploaded with the logs."""
    policy: StoragePolicy
    """Where it may dial."""
    settings: dict[str, Any]
    """What the run was made with, for the tracker's own pages."""


def tracked_run(
    spec: TrainingSpec, plan: TrackerPlan, api_key: Secret | None, logs: Path
) -> TrackedRun:
    """A job's run in one tracker."""
    tuning = spec.tuning
    settings = {
        "job_id": spec.job_id, "method": spec.method, "base_model": spec.model.name,
        "learning_rate": tuning.learning_rate, "batch_size": tuning.batch_size,
        "num_epochs": tuning.num_epochs, "optimizer": tuning.optimizer, "seed": tuning.seed,
    }  # fmt: skip
    return TrackedRun(
        key=hashlib.sha256(spec.output.output_uri.encode()).hexdigest()[:32],
        name=spec.job_id,
        plan=plan,
        api_key=api_key,
        folder=logs / plan.kind,
        policy=spec.storage,
        settings=settings,
    )
