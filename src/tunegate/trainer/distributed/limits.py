"""What several processes can't do, known before anything is fetched."""

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.errors import TunegateError

SHARDABLE = frozenset({"adamw", "adamw_torch", "sgd"})
"""Optimizers that treat every number by itself. Others look at whole matrices, or keep their state in blocks of numbers."""


def is_sharded(spec: TrainingSpec, world: int) -> bool:
    """Whether the job's weights are divided among its processes; else each has them all."""
    four_bits = spec.quantization is not None and spec.quantization.kind != "int8"
    return world > 1 and (spec.adapter is None or four_bits)


def check_served(spec: TrainingSpec, world: int) -> None:
    """Raises TunegateError config_invalid."""
    optimizer = spec.tuning.optimizer
    if is_sharded(spec, world) and spec.adapter is None and optimizer not in SHARDABLE:
        sentence = (
            f"Optimizer {optimizer} needs whole matrices, which full fine-tuning in {world} processes divides: "
            f"take {', '.join(sorted(SHARDABLE))}, or one process."
        )
        raise TunegateError("config_invalid", sentence)
