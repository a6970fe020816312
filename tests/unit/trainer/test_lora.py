"""The fused LoRA layer against PEFT's own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from tunegate.trainer.lora import fuse


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20)
        self.second = nn.Linear(20, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))


def adapted(**options: Any) -> Any:
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=7, target_modules=["first", "second"], **options)
    model = get_peft_model(Two(), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3)
    return model


def results(model: Any) -> dict[str, Tensor]:
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1)).requires_grad_()
    y = model(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    assert x.grad is not None
    return found | {"x": x.grad, "y": y.detach()}


def test_outputs_and_gradients_are_those_of_peft() -> None:
    model = adapted()
    expected = results(model)
    assert fuse(model) == 2
    found = results(model)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=1e-6)


def test_an_adapter_switched_off_is_off() -> None:
    model = adapted()
    fuse(model)
    x = torch.ones(1, 12)
    with torch.no_grad(), model.disable_adapter():
        off = model(x)
    torch.manual_seed(0)
    torch.testing.assert_close(off, Two()(x))


def test_a_merged_layer_gives_the_same() -> None:
    model = adapted()
    fuse(model)
    x = torch.ones(3, 12)
    before = model(x)
    model.merge_adapter()
    torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize(
    "options",
    [{"use_dora": True}, {"lora_dropout": 0.1}],
    ids=lambda options: next(iter(options)),
)
def test_what_is_more_than_plain_stays_with_peft(options: dict[str, Any]) -> None:
    assert fuse(adapted(**options)) == 0


def in_bf16(change: Callable[[Any], object]) -> dict[str, Tensor]:
    model = adapted()
    for module in (model.base_model.model.first, model.base_model.model.second):
        module.base_layer.to(torch.bfloat16)
    change(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return results(model)


def test_under_autocast_it_is_as_close_to_fp32_as_peft() -> None:
    exact = results(adapted())
    plain, fused = in_bf16(lambda model: None), in_bf16(fuse)
    for name, right in exact.items():
        assert fused[name].dtype == plain[name].dtype, name
        error = (fused[name].float() - right).norm()
        assert error <= 1.5 * (plain[name].float() - right).norm() + 1e-3 * right.norm(), name


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("bias", [False, True])
def test_four_bit_weights_give_what_peft_gives(kind: str, bias: bool) -> None:
    from bitsandbytes.nn import Linear4bit

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = Linear4bit(
                64, 128, bias=bias, quant_type=kind, compute_dtype=torch.float32
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x)

    torch.manual_seed(0)
    model: Any = get_peft_model(One().to("cpu"), LoraConfig(r=4, target_modules=["first"]))
    nn.init.normal_(model.base_model.model.first.lora_B["default"].weight, std=0.3)
    found: list[dict[str, Tensor]] = []
    for expected_layers in (0, 1):
        if expected_layers:
            assert fuse(model) == 1
        x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = model(x)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        named = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        assert x.grad is not None
        found.append(named | {"x": x.grad, "y": y.detach()})
        model.zero_grad()
    for name, expected in found[0].items():
        torch.testing.assert_close(found[1][name], expected, rtol=1e-5, atol=1e-5)
