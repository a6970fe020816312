"""Data sets: enough to train on, each once, each readable as it is named."""

from collections.abc import Iterator

from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import TrainRequest
from tunegate.sdk.checks import Finding
from tunegate.sdk.checks.model import is_place
from tunegate.sdk.data.splits import is_eval_split


def check_data(job: TrainRequest) -> Iterator[Finding]:
    """All of `datasets` but for addresses and credentials, which the gateway checks."""
    seen: dict[tuple[str, str | None], int] = {}
    for index, dataset in enumerate(job.datasets):
        path = f"$.datasets[{index}]"
        if dataset.format == "hf" and is_place(dataset.source):
            message = "format hf takes the name of a data set on the hub"
            yield Problem(path=f"{path}.source", message=message, code="invalid_format")
        first = seen.setdefault((dataset.source, dataset.split), index)
        if first != index:
            message = f"the same as $.datasets[{first}]: give it once, with a weight"
            yield Problem(path=path, message=message, code="conflicting_fields")
        if dataset.weight is not None and is_eval_split(dataset.split):
            reason = "evaluation data is not mixed: every row counts the same"
            yield Ignored(path=f"{path}.weight", reason=reason)
    if all(is_eval_split(dataset.split) for dataset in job.datasets):
        message = "every data set is marked as evaluation data: nothing is left to train on"
        yield Problem(path="$.datasets", message=message, code="conflicting_fields")
