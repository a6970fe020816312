"""Steps, memory and time of a training, from sizes alone. Estimates: every answer names what it assumes. Pure."""

import math
import re
from typing import Any

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.contract.training import TrainingSpec
from tunegate.control.model_shape import ModelShape
from tunegate.sdk.memory import LargestPass, MemoryNeed, kept_pairs, predict, trainable_weights

_LEAST_MICRO_TOKENS = 2048
"""Tokens of a forward pass where the job names no micro batch and its sequences are shorter (the trainer's rule)."""
_GPU_MEMORY_GB = {"a100": 40, "h100": 80, "h200": 141, "b200": 180, "l40": 48, "l4": 24, "a10": 24,
                  "v100": 16, "t4": 16}  # fmt: skip
"""Of the smallest of each kind; a number in the name of the type wins, as in A100-80GB."""
_GPU_FLOPS = {"a100": 1.2e14, "h100": 3.0e14, "h200": 3.0e14, "b200": 6.0e14, "l40": 0.8e14, "l4": 0.3e14,
              "a10": 0.4e14, "v100": 0.4e14, "t4": 0.2e14}  # fmt: skip
_ANY_GPU_FLOPS = 1.0e14
_CORE_FLOPS = 2.0e10


class DataSize(Wire):
    """All training rows together; tokens after cutting at max_sequence_length."""

    rows: int
    tokens: int


class Estimate(Wire):
    """What a training may cost. Fields are None where the model's size or the data are not known."""

    steps: int | None
    training_tokens: int | None
    parameters: int | None
    trainable_parameters: int | None
    memory_bytes: MemoryNeed | None
    """At the peak of a step, on the device of one process."""
    available_bytes: int | None
    """What that device is known or asked to have."""
    time_s: float | None
    assumptions: list[str]


def estimate(
    spec: TrainingSpec, resources: ResourceRequest, data: DataSize | None, model: ModelShape | None
) -> Estimate:
    """`data` None: no data set could be sampled. `model` None: its size could not be found out."""
    steps = _steps(spec, data) if data is not None else spec.tuning.max_steps
    tokens = _training_tokens(spec, data, steps) if data is not None else None
    trainable = _trainable(spec, model) if model is not None else None
    largest = largest_pass(spec, data)
    memory = _memory(spec, model, resources, largest) if model is not None else None
    speed, speed_assumption = _flops_per_s(resources)
    time_s = None
    if model is not None and tokens is not None:
        time_s = round(_flops_per_token(spec, model) * tokens / speed, 1)
    return Estimate(
        steps=steps,
        training_tokens=tokens,
        parameters=model.parameters if model else None,
        trainable_parameters=trainable,
        memory_bytes=memory,
        available_bytes=available_bytes(resources),
        time_s=time_s,
        assumptions=[
            f"model size from {model.source}" if model else "the model's size is not known",
            f"forward passes of {largest.tokens} tokens, all of which count" + _checkpointing(spec),
            speed_assumption,
            "loading, evaluation, saving and uploading are not counted",
        ],
    )


def training_spec(container: ContainerSpec) -> TrainingSpec | None:
    """The job.json of backends that run the shared trainer; others give no numbers to reckon with."""
    for file in container.files:
        if file.path == "job.json":
            try:
                return msgspec.json.decode(file.content, type=TrainingSpec)
            except msgspec.DecodeError:
                return None
    return None


def as_object(value: Estimate) -> dict[str, Any]:
    """The estimate as plain JSON, labelled as what it is."""
    return {"kind": "estimate", **msgspec.to_builtins(value)}


def _rows_to_train(spec: TrainingSpec, data: DataSize) -> int:
    held_out = (
        0.0 if any(source.split for source in spec.datasets) else spec.tuning.held_out_fraction
    )
    return max(1, round(data.rows * (1 - held_out)))


def _steps(spec: TrainingSpec, data: DataSize) -> int:
    tuning = spec.tuning
    steps = math.ceil(_rows_to_train(spec, data) * tuning.num_epochs / tuning.batch_size)
    return steps if tuning.max_steps is None else min(steps, tuning.max_steps)


def _training_tokens(spec: TrainingSpec, data: DataSize, steps: int | None) -> int:
    examples = _rows_to_train(spec, data) * spec.tuning.num_epochs
    if steps is not None:
        examples = min(examples, steps * spec.tuning.batch_size)
    return round(examples * data.tokens / max(1, data.rows))


def _trainable(spec: TrainingSpec, model: ModelShape) -> int:
    counted = trainable_weights(spec, model.architecture)
    # A size taken from a name is nearer to the truth than the sum over the usual proportions.
    return model.parameters if counted == model.architecture.parameters else counted


def largest_pass(spec: TrainingSpec, data: DataSize | None) -> LargestPass:
    """The most that a forward pass may hold; without data, that it is full."""
    tuning = spec.tuning
    longest, batch = tuning.max_sequence_length, tuning.batch_size
    budget = max(longest, _LEAST_MICRO_TOKENS)
    if tuning.micro_batch_size:
        budget = tuning.micro_batch_size * longest
    mean = longest if data is None else max(1, math.ceil(data.tokens / max(1, data.rows)))
    budget = budget if tuning.packing else longest
    tokens = min(budget, batch * mean) if data is not None else budget
    passes = batch if not tuning.packing else math.ceil(batch * mean / budget)
    texts = [mean] * max(1, tokens // mean)
    return LargestPass(
        tokens=tokens, targets=tokens, pairs=kept_pairs(texts), accumulated=passes > 1
    )


def available_bytes(resources: ResourceRequest) -> int | None:
    """Memory of one GPU of the type that the job asks for, or that of the job where it has none."""
    if resources.gpus == 0:
        return resources.memory_bytes
    wanted = (resources.gpu_type or "").lower()
    if named := re.search(r"(\d+) ?gb", wanted):
        return int(named[1]) * 2**30
    return next((gb * 2**30 for name, gb in _GPU_MEMORY_GB.items() if name in wanted), None)


def memory_note(found: Estimate) -> str | None:
    """A sentence for a job that is foreseen not to fit."""
    need, there = found.memory_bytes, found.available_bytes
    if need is None or there is None or need.total <= there:
        return None
    return (
        f"about {need.total / 2**30:.0f} GB of memory are foreseen at the peak and {there / 2**30:.0f} GB are there: "
        "the trainer will make its forward passes smaller, and fail with out_of_memory if that does not suffice"
    )


def _memory(
    spec: TrainingSpec, model: ModelShape, resources: ResourceRequest, largest: LargestPass
) -> MemoryNeed:
    processes = max(1, resources.gpus) * resources.nodes
    four_bits = spec.quantization is not None and spec.quantization.kind != "int8"
    shards = processes if spec.adapter is None or four_bits else 1
    cuda = resources.gpus > 0
    return predict(spec, model.architecture, largest, cuda=cuda, shards=shards)


def _checkpointing(spec: TrainingSpec) -> str:
    return ", activations computed again" if spec.tuning.gradient_checkpointing else ""


def _flops_per_token(spec: TrainingSpec, model: ModelShape) -> float:
    """2 forward, 2 for the gradient of the activations, 2 for that of the weights where they train, 2 to compute again."""
    passes = 4 + (2 if spec.adapter is None else 0)
    passes += 2 if spec.tuning.gradient_checkpointing else 0
    return float(passes * model.parameters)


def _flops_per_s(resources: ResourceRequest) -> tuple[float, str]:
    if resources.gpus == 0:
        cores = resources.cpus * resources.nodes
        return _CORE_FLOPS * cores, f"{_CORE_FLOPS / 1e9:g} GFLOP/s on each of {cores} CPU cores"
    wanted = (resources.gpu_type or "").lower()
    speed = next((s for name, s in _GPU_FLOPS.items() if name in wanted), _ANY_GPU_FLOPS)
    gpus = resources.gpus * resources.nodes
    return speed * gpus, f"{speed / 1e12:g} TFLOP/s on each of {gpus} GPUs"
