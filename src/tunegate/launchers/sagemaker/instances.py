"""From resources to an instance type, by the operator's table. Pure."""

import re
from collections.abc import Sequence

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.contract.problems import Problem
from tunegate.launchers.sagemaker.options import SageMakerOptions
from tunegate.launchers.sagemaker.settings import InstanceType, SageMakerSettings

_MAKERS = frozenset({"nvidia", "tesla"})


def _usual(gpu_type: str | None, *lines: tuple[str, int, int, int]) -> list[InstanceType]:
    """(type, GPUs, CPUs, GB) of one family."""
    return [
        InstanceType(type=name, gpu_type=gpu_type, gpus=gpus, cpus=cpus, memory_gb=memory)
        for name, gpus, cpus, memory in lines
    ]


USUAL: tuple[InstanceType, ...] = (
    *_usual(
        None,
        ("ml.m5.xlarge", 0, 4, 16), ("ml.m5.2xlarge", 0, 8, 32), ("ml.m5.4xlarge", 0, 16, 64),
        ("ml.m5.12xlarge", 0, 48, 192), ("ml.m5.24xlarge", 0, 96, 384),
    ),
    *_usual(
        "A10G 24GB",
        ("ml.g5.2xlarge", 1, 8, 32), ("ml.g5.4xlarge", 1, 16, 64), ("ml.g5.8xlarge", 1, 32, 128),
        ("ml.g5.12xlarge", 4, 48, 192), ("ml.g5.24xlarge", 4, 96, 384), ("ml.g5.48xlarge", 8, 192, 768),
    ),
    *_usual(
        "T4 16GB",
        ("ml.g4dn.2xlarge", 1, 8, 32), ("ml.g4dn.4xlarge", 1, 16, 64), ("ml.g4dn.12xlarge", 4, 48, 192),
    ),
    *_usual(
        "L4 24GB",
        ("ml.g6.2xlarge", 1, 8, 32), ("ml.g6.4xlarge", 1, 16, 64), ("ml.g6.12xlarge", 4, 48, 192),
        ("ml.g6.48xlarge", 8, 192, 768),
    ),
    *_usual(
        "L40S 48GB",
        ("ml.g6e.2xlarge", 1, 8, 64), ("ml.g6e.4xlarge", 1, 16, 128), ("ml.g6e.12xlarge", 4, 48, 384),
        ("ml.g6e.48xlarge", 8, 192, 1536),
    ),
    *_usual("A100 40GB", ("ml.p4d.24xlarge", 8, 96, 1152)),
    *_usual("A100 80GB", ("ml.p4de.24xlarge", 8, 96, 1152)),
    *_usual("H100 80GB", ("ml.p5.4xlarge", 1, 16, 256), ("ml.p5.48xlarge", 8, 192, 2048)),
    *_usual("H200 141GB", ("ml.p5en.48xlarge", 8, 192, 2048)),
    *_usual("B200 180GB", ("ml.p6-b200.48xlarge", 8, 192, 2048)),
)  # fmt: skip
"""What an operator need not write; within a family the smaller ones come first."""


def table_of(settings: SageMakerSettings) -> Sequence[InstanceType]:
    return settings.instances or USUAL


def choose(
    container: ContainerSpec, options: SageMakerOptions, settings: SageMakerSettings
) -> InstanceType | Problem:
    """The first of the table that has the fewest GPUs that suffice, or what no line of it has."""
    table = table_of(settings)
    if options.instance_type is not None:
        named = [line for line in table if line.type == options.instance_type]
        if not named:
            names = ", ".join(sorted({line.type for line in table}))
            return Problem(
                path="$.extra_parameters.instance_type",
                code="invalid_choice",
                message=f"The operator's table has no such instance; it has {names}.",
            )
        table = named
    wanted, why = container.resources, "insufficient_resources"
    left = [line for line in table if line.gpus >= wanted.gpus and (wanted.gpus or not line.gpus)]
    if not left:
        most = max((line.gpus for line in table), default=0)
        return Problem(
            path="$.resources.gpus", code=why, message=f"No instance has that many; {most} at most."
        )
    if wanted.gpus and wanted.gpu_type is not None:
        there = sorted({line.gpu_type for line in left if line.gpu_type})
        left = [line for line in left if is_type(wanted.gpu_type, line.gpu_type)]
        if not left:
            message = f"No instance has such GPUs in that number; there are {', '.join(there)}."
            return Problem(path="$.resources.gpu_type", code=why, message=message)
    for field, has in (("cpus", _cpus(wanted)), ("memory_gb", _memory_gb(wanted))):
        enough = [line for line in left if getattr(line, field) >= has]
        if not enough:
            most = max(getattr(line, field) for line in left)
            message = f"The instances with these GPUs have {most} at most."
            return Problem(path=f"$.resources.{field}", code=why, message=message)
        left = enough
    return min(left, key=lambda line: line.gpus)


def is_type(wanted: str, there: str | None) -> bool:
    """Whether every word of `wanted` is one of what is there: `NVIDIA A100` is an `A100 80GB`, `L4` no `L40S`."""
    return _words(wanted) <= _words(there or "")


def _words(text: str) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9]+", text.lower()) if word} - _MAKERS


def _cpus(wanted: ResourceRequest) -> int:
    """What nobody asked for need not be there."""
    return 1 if "cpus" in wanted.defaulted else wanted.cpus


def _memory_gb(wanted: ResourceRequest) -> float:
    return 0 if "memory_gb" in wanted.defaulted else wanted.memory_bytes / 2**30
