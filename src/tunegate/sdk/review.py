"""All the common checks at once, for backends that run the shared trainer."""

from collections.abc import Iterator

from tunegate.contract.request import TrainRequest
from tunegate.sdk.backend import Review
from tunegate.sdk.checks import Finding, collect
from tunegate.sdk.checks.data import check_data
from tunegate.sdk.checks.method import block_number, check_method
from tunegate.sdk.checks.model import check_model
from tunegate.sdk.checks.results import check_results
from tunegate.sdk.checks.tuning import check_tuning
from tunegate.sdk.resolve import TrainerOptions, TrainingMethod


def review_training(
    job: TrainRequest,
    options: TrainerOptions,
    *,
    method: TrainingMethod,
    providers: frozenset[str],
    trainable_layers_advisory: bool = False,
) -> Review:
    """Every field that `resolve_training` does not honour and the gateway does not use is reported here.

    Addresses, credentials and unknown keys of extra_parameters are the gateway's to check;
    `trainable_layers_advisory` is that of the BuildContext.
    """
    return collect(
        check_model(job, providers=providers),
        check_method(job, method=method),
        check_data(job),
        check_tuning(job, options),
        check_results(options, method),
        _notes(job, advisory=trainable_layers_advisory),
    )


def _notes(job: TrainRequest, *, advisory: bool) -> Iterator[Finding]:
    layers = job.customization.trainable_layers or []
    blocks = sorted({number for name in layers if (number := block_number(name)) is not None})
    if blocks and advisory:
        yield "all blocks of the model will train: the operator made trainable_layers advisory"
    elif blocks:
        named = ", ".join(str(block) for block in blocks[:8]) + (", …" if len(blocks) > 8 else "")
        one = "block" if len(blocks) == 1 else "blocks"
        yield f"only {one} {named} of the model will train, as trainable_layers asks"
