"""Trackio: a server, or a database in the log folder."""

import os
from importlib import import_module
from typing import Any

from tunegate.trainer.trackers.tracker import Outcome, TrackedRun


class TrackioTracker:
    """The run's name bears the job's key, so that a later attempt resumes it."""

    def __init__(self, run: TrackedRun) -> None:
        run.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.environ["TRACKIO_DIR"] = str(run.folder)
        if run.api_key is not None:
            os.environ["TRACKIO_WRITE_TOKEN"] = run.api_key.reveal()
        library: Any = import_module("trackio")
        self._run: Any = library.init(
            project=run.plan.experiment,
            name=f"{run.name}-{run.key[:8]}",
            server_url=run.plan.tracking_uri,
            config=run.settings,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def finish(self, outcome: Outcome) -> None:  # noqa: ARG002 (it knows no outcome)
        self._run.finish()
