"""From a finished training to a result that others can rely on: write, check, publish, and push where that is asked for."""

import shutil
from typing import TYPE_CHECKING

from tunegate.contract.attempt import SucceededEvent
from tunegate.sdk.storage import ObjectStore
from tunegate.trainer.export import Trained, export
from tunegate.trainer.publish import publish
from tunegate.trainer.push import PushFailed, push_to_hub
from tunegate.trainer.truth import check_result

if TYPE_CHECKING:
    from tunegate.trainer.run import Run


def deliver(run: "Run", output: ObjectStore, trained: Trained) -> SucceededEvent:
    """The way of the result. Raises TunegateError, or StopRequested when another run has taken over."""
    spec, say, folder = run.spec, run.reporter, run.work_dir / "result"
    say.phase("saving", "writing and checking the result")
    shutil.rmtree(folder, ignore_errors=True)
    made = export(folder, trained)
    for note in made.notes:
        say.note(note)
    model = trained.forward.model
    check_result(folder, trained.base, spec, model, trained.taken, trained.identity)
    if run.stop.reason == "superseded":
        run.stop.check()
    say.phase("uploading", "uploading the result")
    uri, sha256 = run.background.run(
        publish(
            output, folder, spec.output.output_uri, made.files,
            job_id=spec.job_id, attempt=run.grant.attempt, fence=run.grant.fence,
        )
    )  # fmt: skip
    if (plan := spec.output.push_to_hub) is not None:
        say.phase("uploading", "pushing the result to the model hub")
        secrets = run.grant.secrets
        token = secrets.push_token or secrets.hub_token
        try:
            address = push_to_hub(folder, plan, spec.storage.hub_endpoint, token, spec.job_id)
            say.note(f"the result was pushed to {address}")
        except PushFailed as error:
            say.note(f"the result was not pushed to the hub: {error}")
    return SucceededEvent(
        manifest_uri=uri,
        manifest_sha256=sha256,
        detail=_summary(made.metrics),
        metrics=made.metrics,
    )


def _summary(metrics: dict[str, float]) -> str:
    first, last = metrics.get("first_eval_loss"), metrics.get("eval_loss")
    if first is not None and last is not None:
        return f"loss on held-out rows went from {first:.3f} to {last:.3f}"
    return f"loss of the last step {metrics.get('loss', float('nan')):.3f}"
