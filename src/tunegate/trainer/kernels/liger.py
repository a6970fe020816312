"""Norms, rotary positions and gated MLPs as single kernels: those of liger-kernel, where it is installed.

transformers spells them out in many passes over memory, which on a GPU take as long as the products between them.
"""

import logging
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from tunegate.trainer.device import Device

ROTARY = "apply_rotary_pos_emb"
BOUND = frozenset({"forward", "extra_repr", "_get_name"})
"""What it binds to the modules of a model."""

Undo = Callable[[], None]


def lay(causal: Any, device: Device) -> Undo | None:
    """Give the model these kernels, and say how to take them away; None where there are none for it.

    That the model still computes the same is for the caller to see. Raises what Triton and liger-kernel raise.
    """
    if not device.is_cuda or not find_spec("liger_kernel"):
        return None
    from tunegate.trainer.kernels.cross_entropy import works

    if not works(device.torch_device):
        return None
    logging.getLogger("liger_kernel").setLevel(logging.ERROR)
    from liger_kernel.transformers import (  # pyright: ignore[reportMissingImports]
        _apply_liger_kernel_to_instance,
    )

    home: Any = sys.modules[type(causal).__module__]
    before = dict(vars(home))
    own = {id(part): BOUND & vars(part).keys() for part in causal.modules()}

    def undo() -> None:
        vars(home).update(before)
        for part in causal.modules():
            for name in BOUND - own[id(part)]:
                vars(part).pop(name, None)

    try:
        _apply_liger_kernel_to_instance(
            model=causal, cross_entropy=False, fused_linear_cross_entropy=False
        )
    except Exception:
        undo()
        raise
    rotary = vars(home).get(ROTARY)
    vars(home).update(before)  # models that are made later are their own again
    if all(BOUND & vars(part).keys() == own[id(part)] for part in causal.modules()):
        return None
    if rotary is not before.get(ROTARY):
        setattr(home, ROTARY, _on_gpus(rotary, before[ROTARY]))
    return undo


def _on_gpus(fused: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """A module's function serves all models of its kind, also one on a CPU."""

    def rotate(query: Tensor, *others: Any, **named: Any) -> Any:
        return (fused if query.is_cuda else plain)(query, *others, **named)

    return rotate
