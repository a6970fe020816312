"""Steps, memory and time of a training, from sizes alone. Estimates: every answer names what it assumes. Pure."""

import math
from typing import Any

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.container import ResourceRequest
from tunegate.contract.training import AdapterPlan, TrainingSpec
from tunegate.control.model_shape import ModelShape

LINEAR_LAYERS_PER_BLOCK = 7
_WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}
_QUANTISED_BYTES = {"int8": 1.06, "nf4": 0.56, "fp4": 0.56}
_TRAINABLE_BYTES = 16
"""An fp32 weight, its gradient and the two moments of AdamW."""
_ACTIVATION_BYTES = 34
"""Per token, width and block in half precision, without the attention matrix."""
_GPU_FLOPS = {"a100": 1.2e14, "h100": 3.0e14, "h200": 3.0e14, "b200": 6.0e14, "l40": 0.8e14, "l4": 0.3e14,
              "a10": 0.4e14, "v100": 0.4e14, "t4": 0.2e14}  # fmt: skip
_ANY_GPU_FLOPS = 1.0e14
_CORE_FLOPS = 2.0e10


class DataSize(Wire):
    """All training rows together; tokens after cutting at max_sequence_length."""

    rows: int
    tokens: int


class MemoryEstimate(Wire):
    """Bytes on one device that holds the whole model."""

    weights: int
    trainable: int
    activations: int
    total: int


class Estimate(Wire):
    """What a training may cost. Fields are None where the model's size or the data are not known."""

    steps: int | None
    training_tokens: int | None
    parameters: int | None
    trainable_parameters: int | None
    memory_bytes: MemoryEstimate | None
    time_s: float | None
    assumptions: list[str]


def estimate(
    spec: TrainingSpec, resources: ResourceRequest, data: DataSize | None, model: ModelShape | None
) -> Estimate:
    """`data` None: no data set could be sampled. `model` None: its size could not be found out."""
    steps = _steps(spec, data) if data is not None else spec.tuning.max_steps
    tokens = _training_tokens(spec, data, steps) if data is not None else None
    trainable = _trainable(spec, model) if model is not None else None
    memory = _memory(spec, model, trainable) if model and trainable is not None else None
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
        time_s=time_s,
        assumptions=[
            f"model size from {model.source}" if model else "the model's size is not known",
            f"{_TRAINABLE_BYTES} bytes per trainable weight (weight, gradient, AdamW)",
            f"one sequence of {_micro(spec)} tokens at a time" + _checkpointing(spec),
            speed_assumption,
            "loading, evaluation, saving and uploading are not counted",
        ],
    )


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


def _share_of_blocks(spec: TrainingSpec, model: ModelShape) -> float:
    if spec.trainable_layers is None or spec.trainable_layers_advisory:
        return 1.0
    return min(1.0, len(set(spec.trainable_layers)) / model.layers)


def _trainable(spec: TrainingSpec, model: ModelShape) -> int:
    share = _share_of_blocks(spec, model)
    if spec.adapter is None:
        return round(model.parameters * share)
    return round(_adapter_size(spec.adapter, model) * share)


def _adapter_size(adapter: AdapterPlan, model: ModelShape) -> int:
    modules = adapter.target_modules
    per_block = LINEAR_LAYERS_PER_BLOCK if modules is None else len(modules)
    return adapter.rank * 2 * model.hidden_size * per_block * model.layers


def _memory(spec: TrainingSpec, model: ModelShape, trainable: int) -> MemoryEstimate:
    quantised = spec.quantization
    per_weight = _QUANTISED_BYTES[quantised.kind] if quantised else _WEIGHT_BYTES[spec.precision]
    frozen = model.parameters - (trainable if spec.adapter is None else 0)
    weights = round(max(0, frozen) * per_weight)
    blocks = 1 + model.layers / 17 if spec.tuning.gradient_checkpointing else model.layers
    activations = round(_micro(spec) * model.hidden_size * _ACTIVATION_BYTES * blocks)
    states = trainable * _TRAINABLE_BYTES
    return MemoryEstimate(
        weights=weights,
        trainable=states,
        activations=activations,
        total=weights + states + activations,
    )


def _micro(spec: TrainingSpec) -> int:
    return spec.tuning.max_sequence_length * (spec.tuning.micro_batch_size or 1)


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
