"""What can be foreseen of a job when it is submitted, at next to no cost: nothing is read, and most jobs need no look."""

from functools import lru_cache

from tunegate.contract.container import ContainerSpec
from tunegate.control.estimate import available_bytes, estimate, memory_note, training_spec
from tunegate.control.model_shape import ModelShape, shape_from_name

_PLENTY = 24
"""Bytes per weight with which any training fits: full fine-tuning has 16, and some for activations."""

_shape = lru_cache(maxsize=1024)(shape_from_name)


def foreseen(container: ContainerSpec, model_name: str) -> list[str]:
    """Notes on a job whose model, as far as its name tells, is large for the memory that it asks for."""
    there = available_bytes(container.resources)
    shape: ModelShape | None = _shape(model_name)
    if there is None or shape is None or shape.parameters * _PLENTY < there:
        return []
    spec = training_spec(container)
    if spec is None:
        return []
    note = memory_note(estimate(spec, container.resources, None, shape))
    return [] if note is None else [f"{note} ({shape.source})"]
