"""Hyperparameters that contradict each other."""

from collections.abc import Iterator

from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import TrainRequest, TuningParameters
from tunegate.contract.training import TuningPlan
from tunegate.sdk.checks import Finding
from tunegate.sdk.data.splits import is_eval_split
from tunegate.sdk.resolve import TrainerOptions, accumulation_steps

_ACCUMULATION = "$.extra_parameters.unsloth.gradient_accumulation"


def check_tuning(job: TrainRequest, options: TrainerOptions) -> Iterator[Finding]:
    """Batches, evaluation, the objective and the two places of gradient_checkpointing."""
    tuning = job.tuning_parameters or TuningParameters()
    here, there = job.customization.gradient_checkpointing, tuning.gradient_checkpointing
    if here is not None and there is not None and here != there:
        yield Problem(
            path="$.tuning_parameters.gradient_checkpointing",
            message="contradicts $.customization.gradient_checkpointing",
            code="conflicting_fields",
        )
    batch = tuning.batch_size or TuningPlan().batch_size
    if tuning.micro_batch_size is not None and tuning.micro_batch_size > batch:
        message = f"must be at most batch_size, which is {batch}"
        path = "$.tuning_parameters.micro_batch_size"
        yield Problem(path=path, message=message, code="conflicting_fields")
    yield from _check_accumulation(job, batch, tuning.micro_batch_size)
    yield from _check_evaluation(job, tuning, options)
    yield from _check_objective(tuning)


def _check_accumulation(job: TrainRequest, batch: int, micro: int | None) -> Iterator[Finding]:
    unsloth = (job.extra_parameters or {}).get("unsloth")
    if not isinstance(unsloth, dict) or "gradient_accumulation" not in unsloth:
        return
    steps = accumulation_steps(job)
    if steps is None:
        message = "must be a whole number of at least 1"
        yield Problem(path=_ACCUMULATION, message=message, code="wrong_type")
    elif steps > batch:
        message = f"must be at most batch_size, which is {batch}"
        yield Problem(path=_ACCUMULATION, message=message, code="conflicting_fields")
    elif micro is not None and micro != batch // steps:
        message = "contradicts $.tuning_parameters.micro_batch_size"
        yield Problem(path=_ACCUMULATION, message=message, code="conflicting_fields")


def _check_evaluation(
    job: TrainRequest, tuning: TuningParameters, options: TrainerOptions
) -> Iterator[Finding]:
    marked = any(is_eval_split(dataset.split) for dataset in job.datasets)
    if marked and options.held_out_fraction:
        reason = "the job brings its own evaluation data"
        yield Ignored(path="$.extra_parameters.held_out_fraction", reason=reason)
    if marked or options.held_out_fraction != 0:
        return
    if tuning.early_stopping_patience is not None:
        message = "needs evaluation data: mark a data set as validation, or hold some rows out"
        path = "$.tuning_parameters.early_stopping_patience"
        yield Problem(path=path, message=message, code="conflicting_fields")
    if tuning.eval_steps is not None:
        reason = "there is no evaluation data"
        yield Ignored(path="$.tuning_parameters.eval_steps", reason=reason)


def _check_objective(tuning: TuningParameters) -> Iterator[Finding]:
    if tuning.objective == "sft" and tuning.dpo_beta is not None:
        reason = "objective sft prefers nothing"
        yield Ignored(path="$.tuning_parameters.dpo_beta", reason=reason)
    if tuning.objective == "dpo" and tuning.train_on == "all":
        reason = "objective dpo compares the answers alone"
        yield Ignored(path="$.tuning_parameters.train_on", reason=reason)
