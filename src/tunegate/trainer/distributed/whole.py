"""Whole tensors from what the ranks hold of them, and back again. Replicas, and one process alone, have them whole."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tunegate.trainer.distributed.ranks import Ranks

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def whole(tensor: Tensor) -> Tensor:
    """A copy on the CPU. Of a sharded tensor all ranks must ask, and rank 0 alone gets it; the others get nothing in it."""
    sharded: Any = tensor.detach()
    if not hasattr(sharded, "full_tensor"):
        return sharded.to("cpu", copy=True)
    found: Tensor = sharded.full_tensor()
    if sharded.device_mesh.get_rank():
        return found.new_empty(0, device="cpu")
    return found.to("cpu", copy=True)


def part_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This rank's part of a whole tensor, laid out as the parameter is; the tensor itself where that is whole."""
    like: Any = parameter
    if not hasattr(like, "full_tensor") or tensor.shape != parameter.shape:
        return tensor.to(parameter.device)
    from torch.distributed.tensor import distribute_tensor

    on_device = tensor.to(parameter.device)
    return distribute_tensor(on_device, like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def put(parameters: Mapping[str, nn.Parameter], tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Whole tensors into the parameters of these names."""
    for name, tensor in tensors:
        parameters[name].copy_(part_like(tensor, parameters[name]))


def number(tensor: Tensor) -> float:
    """Of a norm, which may be one of shards."""
    found: Any = tensor
    return float((found.full_tensor() if hasattr(found, "full_tensor") else found).item())


def plain_copy(model: "PreTrainedModel", dtype: torch.dtype, ranks: Ranks) -> "PreTrainedModel":
    """The trained model on the CPU of rank 0, as one process would have it; the others help, and get one without weights.

    One weight at a time is whole on a device.
    """
    from transformers import AutoModelForCausalLM

    gathered: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        full = whole(parameter)
        if ranks.is_main:
            gathered[name] = full.to(dtype)
    loader: Any = AutoModelForCausalLM
    with torch.device("meta"):
        copy: Any = loader.from_config(model.config)
    if ranks.is_main:
        copy.load_state_dict(gathered, strict=False, assign=True)
        copy.tie_weights()
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in copy.named_parameters():
        parameter.requires_grad_(name in trains)
    copy.generation_config, copy.name_or_path = model.generation_config, model.name_or_path
    return copy
