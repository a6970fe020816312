"""Plain LoRA on a linear layer as one step of autograd: fewer passes over memory than PEFT's chain of operations.

y = x Wᵀ + s (x Aᵀ) Bᵀ is added in place, casts are made once, and nothing is kept for the backward pass but x, the
weights, A and B as they were cast, and x Aᵀ, which is narrow. Everything else that PEFT can do to a layer stays PEFT's own.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


class _LoraLinear(torch.autograd.Function):
    """The product for frozen W and no bias in A or B; x is [rows, in] in the dtype of W."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float,
        packing: Any,
    ) -> Tensor:  # fmt: skip
        unpacked = _unpacked(weight, packing, x.dtype)
        down, up = a.to(x.dtype), b.to(x.dtype)
        narrow = x @ down.t()
        ctx.save_for_backward(x, weight, down, up, narrow)
        ctx.scale, ctx.packing, ctx.dtypes = scale, packing, (a.dtype, b.dtype)
        if x.is_cuda:  # the large product adds to the small one while it computes, which costs no pass of its own
            scaled = narrow * scale
            y = scaled @ up.t() if bias is None else torch.addmm(bias, scaled, up.t())
            return y.addmm_(x, unpacked.t())
        y = x @ unpacked.t() if bias is None else torch.addmm(bias, x, unpacked.t())
        return y.addmm_(narrow, up.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up, narrow = ctx.saved_tensors
        grad = grads[0]
        narrow_grad = (grad @ up).mul_(ctx.scale)
        a_dtype, b_dtype = ctx.dtypes
        a_grad = (narrow_grad.t() @ x).to(a_dtype)
        b_grad = (grad.t() @ narrow).to(b_dtype).mul_(ctx.scale)
        x_grad = None
        if ctx.needs_input_grad[0]:
            unpacked = _unpacked(weight, ctx.packing, grad.dtype)
            if x.is_cuda:
                x_grad = (narrow_grad @ down).addmm_(grad, unpacked)
            else:
                x_grad = (grad @ unpacked).addmm_(narrow_grad, down)
        return x_grad, None, None, a_grad, b_grad, None, None


def _unpacked(weight: Tensor, packing: Any, dtype: torch.dtype) -> Tensor:
    """The weight [out, in]; of 4-bit weights it lives for one product only."""
    if packing is None:
        return weight
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.view(-1, 1), packing).to(dtype)


def fuse(model: nn.Module) -> int:
    """Give all layers of plain LoRA in the model this forward pass; returns how many there are."""
    plain = [m for m in model.modules() if _is_lora(m) and _is_plain(m)]
    for module in plain:
        module.forward = MethodType(_forward, module)
    return len(plain)


def _is_lora(module: nn.Module) -> bool:
    from peft.tuners.lora.layer import Linear

    return type(module) is Linear or _is_4bit(module, "peft.tuners.lora.bnb")


def _is_4bit(module: nn.Module, home: str) -> bool:
    """By name: importing bitsandbytes takes a second, and most jobs have no use for it."""
    return (type(module).__module__, type(module).__name__) == (home, "Linear4bit")


def _is_plain(layer: Any) -> bool:
    """Whether the layer is y = x Wᵀ + bias + s (x Aᵀ) Bᵀ and nothing else, with W frozen."""
    names, base = list(layer.active_adapters), layer.base_layer
    if (
        len(names) != 1
        or names[0] not in layer.lora_A
        or not (type(base) is nn.Linear or _is_4bit(base, "bitsandbytes.nn.modules"))
    ):
        return False
    a, b = layer.lora_A[names[0]], layer.lora_B[names[0]]
    return (
        isinstance(layer.lora_dropout[names[0]], nn.Identity)
        and names[0] not in layer.lora_variant
        and not getattr(layer, "fan_in_fan_out", False)
        and a.bias is None
        and b.bias is None
        and not any(parameter.requires_grad for parameter in base.parameters())
    )


def _is_cheaper_plain(packing: Any) -> bool:
    """Where nothing is learned, bitsandbytes multiplies without unpacking."""
    return packing is not None and not torch.is_grad_enabled()


def _forward(layer: Any, x: Tensor, *others: Any, **named: Any) -> Tensor:
    kind = x.device.type
    base = layer.base_layer
    weight: Tensor = base.weight
    packing = getattr(weight, "quant_state", None) or getattr(base, "quant_state", None)
    held = weight.dtype if packing is None else base.compute_dtype
    compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    if (
        layer.disable_adapters
        or layer.merged
        or named
        or compute is not held
        or _is_cheaper_plain(packing)
    ):
        return type(layer).forward(layer, x, *others, **named)
    name = layer.active_adapters[0]
    rows = x.reshape(-1, x.shape[-1]).to(compute)
    with torch.autocast(kind, enabled=False):
        y: Any = _LoraLinear.apply(
            rows, weight, None if base.bias is None else base.bias.to(compute),
            layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name], packing,
        )  # fmt: skip
    return y.view(*x.shape[:-1], -1)
