"""What can be foreseen of a job when it is submitted, at next to no cost: nothing is read, and most jobs need no look."""

from functools import lru_cache

import msgspec
from msgspec.structs import replace

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.contract.training import DataSource, OutputPlan, TrainingSpec
from tunegate.control.estimate import available_bytes, estimate, memory_note, training_spec
from tunegate.control.model_shape import ModelShape, shape_from_name

_PLENTY = 24
"""Bytes per weight with which any training fits: full fine-tuning has 16, and some for activations."""

_NO_DATA = [DataSource(source="")]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[str, ResourceRequest, TrainingSpec]).decode
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
    # Without what is the job's own: many jobs ask for the same training, and nothing here hangs on the rest.
    output = OutputPlan(output_uri="")
    asked = replace(spec, job_id="", output=output, datasets=_NO_DATA, metadata={})
    note = _note(_encode((model_name, container.resources, asked)))
    return [] if note is None else [f"{note} ({shape.source})"]


@lru_cache(maxsize=1024)
def _note(case: bytes) -> str | None:
    model_name, resources, spec = _decode(case)
    return memory_note(estimate(spec, resources, None, _shape(model_name)))
