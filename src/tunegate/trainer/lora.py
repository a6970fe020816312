"""Plain LoRA on a linear layer as one step of autograd: fewer passes over memory than PEFT's chain of operations.

y = x Wᵀ + s (x Aᵀ) Bᵀ is added in place, casts are made once, and nothing is kept for the backward pass but x, the
weights and x Aᵀ, which is narrow. Everything else that PEFT can do to a layer stays PEFT's own.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


class _LoraLinear(torch.autograd.Function):
    """The product for frozen W and no bias in A or B; x is [rows, in] in the dtype of W."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        down, up = a.to(x.dtype), b.to(x.dtype)
        narrow = x @ down.t()
        y = x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())
        ctx.save_for_backward(x, weight, a, b, narrow)
        ctx.scale = scale
        return y.addmm_(narrow, up.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, narrow = ctx.saved_tensors
        grad = grads[0]
        narrow_grad = (grad @ b.to(grad.dtype)).mul_(ctx.scale)
        a_grad = (narrow_grad.t() @ x).to(a.dtype)
        b_grad = (grad.t() @ narrow).mul_(ctx.scale).to(b.dtype)
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = (grad @ weight).addmm_(narrow_grad, a.to(grad.dtype))
        return x_grad, None, None, a_grad, b_grad, None


def fuse(model: nn.Module) -> int:
    """Give all layers of plain LoRA in the model this forward pass; returns how many there are."""
    from peft.tuners.lora.layer import Linear

    plain = [m for m in model.modules() if type(m) is Linear and _is_plain(m)]
    for module in plain:
        module.forward = MethodType(_forward, module)
    return len(plain)


def _is_plain(layer: Any) -> bool:
    """Whether the layer is y = x Wᵀ + bias + s (x Aᵀ) Bᵀ and nothing else, with W frozen."""
    names, base = list(layer.active_adapters), layer.base_layer
    if len(names) != 1 or names[0] not in layer.lora_A or type(base) is not nn.Linear:
        return False
    a, b = layer.lora_A[names[0]], layer.lora_B[names[0]]
    return (
        isinstance(layer.lora_dropout[names[0]], nn.Identity)
        and names[0] not in layer.lora_variant
        and not layer.fan_in_fan_out
        and a.bias is None
        and b.bias is None
        and not any(parameter.requires_grad for parameter in base.parameters())
    )


def _forward(layer: Any, x: Tensor, *others: Any, **named: Any) -> Tensor:
    kind = x.device.type
    weight: Tensor = layer.base_layer.weight
    compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    if layer.disable_adapters or layer.merged or named or compute is not weight.dtype:
        return type(layer).forward(layer, x, *others, **named)
    name = layer.active_adapters[0]
    rows = x.reshape(-1, x.shape[-1]).to(compute)
    with torch.autocast(kind, enabled=False):
        y: Any = _LoraLinear.apply(
            rows, weight, layer.base_layer.bias,
            layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name],
        )  # fmt: skip
    return y.view(*x.shape[:-1], -1)
