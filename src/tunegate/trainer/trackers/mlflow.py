"""MLflow, by its client: a server, or a folder as file://."""

import os
import time
from importlib import import_module
from typing import Any

from tunegate.trainer.trackers.tracker import Outcome, TrackedRun

TAG = "tunegate.run"
STATUSES: dict[Outcome, str] = {"succeeded": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
LOCAL = {"MLFLOW_ALLOW_FILE_STORE": "true"}


class MlflowTracker:
    """The run is found again by a tag."""

    def __init__(self, run: TrackedRun) -> None:
        for name, value in {**PATIENCE, **LOCAL}.items():
            os.environ.setdefault(name, value)
        if run.api_key is not None:
            os.environ["MLFLOW_TRACKING_TOKEN"] = run.api_key.reveal()
        tracking: Any = import_module("mlflow.tracking")
        self._client: Any = tracking.MlflowClient(tracking_uri=run.plan.tracking_uri)
        self._metric: Any = import_module("mlflow.entities").Metric
        self._run_id = self._found(run)

    def log(self, step: int, values: dict[str, float]) -> None:
        now_ms = time.time_ns() // 1_000_000
        metrics = [self._metric(name, value, now_ms, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def finish(self, outcome: Outcome) -> None:
        self._client.set_terminated(self._run_id, status=STATUSES[outcome])

    def _found(self, run: TrackedRun) -> str:
        client, name = self._client, run.plan.experiment
        experiment = client.get_experiment_by_name(name)
        place = experiment.experiment_id if experiment else client.create_experiment(name)
        known = client.search_runs([place], filter_string=f"tags.`{TAG}` = '{run.key}'")
        if known:
            run_id = known[0].info.run_id
            client.update_run(run_id, status="RUNNING")
            return run_id
        run_id = client.create_run(place, run_name=run.name, tags={TAG: run.key}).info.run_id
        for key, value in run.settings.items():
            client.log_param(run_id, key, value)
        return run_id
