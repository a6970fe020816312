"""FSDP2: every rank holds a part of each weight and gets the rest of a block while it computes with it.

What is trained as a whole is sharded with its gradients and its optimizer's state. Of a model in 4 bits the base is; its
adapter, which is small, stays a replica, so optimizers, checkpoints and export know nothing of the shards.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from tunegate.contract.training import TrainingSpec
from tunegate.trainer.blocks import find_blocks
from tunegate.trainer.data import PackedBatch
from tunegate.trainer.device import Device, Precision
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.forward import CausalForward, probe

T = TypeVar("T")


class Root(nn.Module):
    """Runs anything while the weights outside the blocks are whole: FSDP acts on calls of modules."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], T]) -> T:
        return work()


@dataclass(frozen=True)
class ShardedForward(CausalForward):
    """Its passes are collectives."""

    root: Root

    def text_losses(self, batch: PackedBatch) -> Tensor:
        inner = super().text_losses
        return whole_for(self.root, lambda: inner(batch))


def shard(
    model: nn.Module, spec: TrainingSpec, ranks: Ranks, device: Device, precision: Precision
) -> ShardedForward:
    """Give each rank its part, and find out how the model is run on packed rows (see `probe`)."""
    adapter = spec.adapter is not None
    whole: Any = model
    causal: Any = whole.get_base_model() if adapter else model
    settings: dict[str, Any] = {
        "mesh": init_device_mesh(device.torch_device.type, (ranks.place.world,)),
        "ignored_params": {p for p in model.parameters() if p.requires_grad} if adapter else None,
    }
    if adapter:
        _keep_quantised(model)
    blocks = find_blocks(causal)
    for block in causal.get_submodule(blocks.path) if blocks is not None else ():
        _sum_gradients(fully_shard(block, **settings))
    root = Root(model)
    _sum_gradients(fully_shard(root, **settings))
    with torch.no_grad():
        found = whole_for(root, lambda: probe(model, device, precision))
    return ShardedForward(root=root, **{f.name: getattr(found, f.name) for f in fields(found)})


def whole_for(root: Root, work: Callable[[], T]) -> T:
    """Let the root run it. Without a backward pass nobody else would put its weights away again."""
    result = root(work)
    if not torch.is_grad_enabled() and isinstance(root, FSDPModule):
        root.reshard()
    return result


def _sum_gradients(module: FSDPModule) -> None:
    """FSDP's own way is the mean over the ranks; losses are divided by the weight of the whole batch already."""
    module.set_gradient_divide_factor(1.0)
    module.set_force_sum_reduction_for_comms(True)  # gloo knows no other


def _keep_quantised(model: nn.Module) -> None:
    """Put back what turns gathered bytes into a 4-bit weight, also where PEFT looks at the weight before bitsandbytes."""
    from bitsandbytes.nn import Linear4bit
    from bitsandbytes.nn.modules import fix_4bit_weight_quant_state_from_module

    def restore(layer: Any, _: Any) -> None:
        fix_4bit_weight_quant_state_from_module(layer.base_layer)

    for module in model.modules():
        if isinstance(getattr(module, "base_layer", None), Linear4bit):
            module.register_forward_pre_hook(restore)
