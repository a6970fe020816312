"""Weights & Biases. Without server and key it writes files that `wandb sync` takes later."""

from importlib import import_module
from typing import Any

from tunegate.trainer.trackers.relay import Relay
from tunegate.trainer.trackers.tracker import Outcome, TrackedRun


class WandbTracker:
    """The run's id is the job's key, so that a later attempt resumes it. Its helper process reaches out by a `Relay`."""

    def __init__(self, run: TrackedRun) -> None:
        plan = run.plan
        library: Any = import_module("wandb")
        offline = plan.tracking_uri is None and run.api_key is None
        settings: dict[str, Any] = {"console": "off", "silent": True, "x_disable_meta": True}
        if plan.tracking_uri is not None:
            settings["base_url"] = plan.tracking_uri
        if run.api_key is not None:
            settings["api_key"] = run.api_key.reveal()
        proxy_url = run.policy.proxy_url
        self._relay = None if offline or proxy_url is not None else Relay(run.policy)
        if self._relay is not None:
            proxy_url = self._relay.url
        settings["http_proxy"] = settings["https_proxy"] = proxy_url
        run.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._run: Any = library.init(
            project=plan.experiment,
            entity=plan.entity,
            id=run.key,
            name=run.name,
            resume=None if offline else "allow",
            dir=str(run.folder),
            config=run.settings,
            mode="offline" if offline else "online",
            settings=library.Settings(**settings),
        )
        # A later attempt starts at an earlier step than the last one reached, which W&B's own steps do not allow.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log({"step": step, **values})

    def finish(self, outcome: Outcome) -> None:
        try:
            self._run.finish(exit_code=0 if outcome == "succeeded" else 1)
        finally:
            if self._relay is not None:
                self._relay.close()
