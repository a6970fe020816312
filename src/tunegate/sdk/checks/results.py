"""What becomes of the result besides the output folder: the merged model, the hub, experiment trackers."""

from collections.abc import Iterator

from tunegate.contract.problems import Ignored, Problem
from tunegate.sdk.addresses import has_credentials, query_of, scheme_of
from tunegate.sdk.checks import Finding
from tunegate.sdk.resolve import Tracker, TrainerOptions, TrainingMethod

_ROOT = "$.extra_parameters"
_WEB = ("https", "http")
_SCHEMES = {"mlflow": (*_WEB, "file"), "wandb": _WEB, "trackio": _WEB}


def check_results(options: TrainerOptions, method: TrainingMethod) -> Iterator[Finding]:
    """Whether the operator allows an address is seen when the run starts."""
    if options.merge_adapter is not None and method == "full":
        reason = "full fine-tuning has no adapter to merge"
        yield Ignored(path=f"{_ROOT}.merge_adapter", reason=reason)
    for index, tracker in enumerate(options.trackers or []):
        yield from _check_tracker(tracker, f"{_ROOT}.trackers[{index}]")


def _check_tracker(tracker: Tracker, path: str) -> Iterator[Finding]:
    address = tracker.tracking_uri
    if address is None:
        if tracker.kind == "mlflow":
            message = "mlflow needs the address of its server, or a folder as file://"
            yield Problem(path=f"{path}.tracking_uri", message=message, code="missing_field")
    elif scheme_of(address) not in _SCHEMES[tracker.kind]:
        message = f"must be an address with {' or '.join(_SCHEMES[tracker.kind])}"
        yield Problem(path=f"{path}.tracking_uri", message=message, code="not_supported")
    elif has_credentials(address) or query_of(address):
        message = "holds credentials: give them as api_key"
        yield Problem(path=f"{path}.tracking_uri", message=message, code="credentials_in_address")
    if tracker.entity is not None and tracker.kind != "wandb":
        reason = "only W&B has teams"
        yield Ignored(path=f"{path}.entity", reason=reason)
