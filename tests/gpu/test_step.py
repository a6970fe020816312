"""A step on a GPU: the fused kernels against padded rows of transformers, and no waiting for the device."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tunegate.trainer import attention
from tunegate.trainer.data.packing import PackedBatch
from tunegate.trainer.device import Device, Precision
from tunegate.trainer.forward import CausalForward, Isolation, probe
from tunegate.trainer.kernels import liger
from tunegate.trainer.kernels.head import frozen_head_losses
from tunegate.trainer.lora import fuse

VOCAB = 512
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: tf.LlamaConfig(**SIZES),
    "qwen2, biases": lambda: tf.Qwen2Config(**SIZES),
    "mistral, window": lambda: tf.MistralConfig(**SIZES, head_dim=64, sliding_window=16),
}
HALF = Precision(torch.bfloat16, torch.bfloat16)
MIXED = Precision(torch.float32, torch.bfloat16)
LENGTHS = (70, 1, 33, 128, 5)


def gpu() -> Device:
    return Device(torch.device("cuda", 0))


def texts() -> list[Tensor]:
    random = torch.Generator().manual_seed(3)
    return [torch.randint(3, VOCAB, (n,), generator=random) for n in LENGTHS]


def packed() -> PackedBatch:
    tokens = texts()
    labels = [torch.where(torch.arange(len(t)) >= 2, t, -100) for t in tokens]
    return PackedBatch(
        input_ids=torch.cat(tokens)[None].numpy(),
        labels=torch.cat(labels)[None].numpy(),
        position_ids=np.concatenate([np.arange(n) for n in LENGTHS])[None],
        cu_seqlens=np.cumsum([0, *LENGTHS]).astype(np.int32),
        example_ids=np.arange(len(LENGTHS)),
        num_targets=int(sum(max(0, n - 2) for n in LENGTHS)),
    )


def make(name: str, dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    attention.register()
    model = tf.AutoModelForCausalLM.from_config(MODELS[name](), attn_implementation="eager")
    return model.to(dtype).cuda().train()


def adapted(model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    found = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    for name, parameter in found.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.05)
    return found


def gradients(model: Any) -> dict[str, Tensor]:
    found = {n: p.grad.clone().float() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def in_fp32(model: Any) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients text by text, with plain attention and without autocast, in fp32."""
    exact = model.float()
    losses: list[Tensor] = []
    for text in texts():
        if len(text) > 2:
            logits = exact(input_ids=text[None].cuda(), use_cache=False).logits[0, 1:-1]
            losses.append(cross_entropy(logits, text[2:].cuda(), reduction="sum"))
    loss = torch.stack(losses).sum()
    loss.backward()
    return loss.item(), gradients(exact)


def agree(found: dict[str, Tensor], wanted: dict[str, Tensor], within: float = 0.05) -> None:
    assert found.keys() == wanted.keys()
    largest = max(part.norm() for part in wanted.values())
    for name, part in wanted.items():
        assert (found[name] - part).norm() <= within * part.norm() + 1e-3 * largest, name


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", [HALF, MIXED], ids=["adapter", "all weights"])
def test_packed_texts_are_as_the_texts_alone(name: str, precision: Precision) -> None:
    model = make(name, precision.weights)
    home = sys.modules[type(model).__module__]
    rotary = vars(home)[liger.ROTARY]
    trained = adapted(model) if precision is HALF else model
    forward = probe(trained, gpu(), precision)
    assert forward.isolation is Isolation.SEGMENTS, "variable-length attention was not taken"
    assert forward.lean == bool(find_spec("liger_kernel"))
    loss = forward.loss(packed())
    loss.backward()
    found = gradients(trained)
    model.set_attn_implementation("eager")
    setattr(home, liger.ROTARY, rotary)
    for module in trained.modules():  # all layers are PEFT's and transformers' own again
        for bound in liger.BOUND:
            vars(module).pop(bound, None)
    wanted_loss, wanted = in_fp32(trained)
    assert loss.item() == pytest.approx(wanted_loss, rel=5e-3)
    agree(found, wanted)


def test_the_head_in_chunks() -> None:
    torch.manual_seed(0)
    head = nn.Linear(64, 5000, bias=False).cuda().bfloat16().requires_grad_(False)
    hidden = torch.randn(700, 64, device="cuda").bfloat16().requires_grad_()
    targets = torch.randint(0, 5000, (700,), device="cuda")
    wanted = cross_entropy(hidden.float() @ head.weight.float().t(), targets, reduction="none")
    (slope,) = torch.autograd.grad(wanted.sum(), hidden)
    found = frozen_head_losses(head, hidden, targets)
    (ours,) = torch.autograd.grad(found.sum(), hidden)
    torch.testing.assert_close(found, wanted, rtol=2e-2, atol=2e-2)
    assert (ours.float() - slope.float()).norm() <= 0.02 * slope.float().norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_cross_entropy_in_one_kernel(dtype: torch.dtype) -> None:
    pytest.importorskip("triton")
    from tunegate.trainer.kernels import cross_entropy as kernel

    assert kernel.works(torch.device("cuda", 0))
    torch.manual_seed(0)
    logits = (4 * torch.randn(300, 50_001, device="cuda")).to(dtype)
    targets = torch.randint(0, 50_001, (300,), device="cuda")
    logits[7, targets[7]] = (
        30.0  # learned already: what is left of its slope is small and must not be lost
    )
    exact = logits.double()
    wanted = cross_entropy(exact, targets, reduction="none")
    slopes = torch.softmax(exact, -1)
    slopes[torch.arange(300), targets] -= 1
    kept = logits.clone()
    assert torch.equal(
        kernel.losses_and_slopes(logits, targets, with_slopes=False),
        kernel.losses_and_slopes(kept, targets, with_slopes=True),
    )
    found = kernel.losses_and_slopes(logits, targets, with_slopes=True)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(kept, logits)
    assert (logits.double() - slopes).norm() <= 4e-3 * slopes.norm()
    at_target = (logits[7, targets[7]].double(), slopes[7, targets[7]])
    torch.testing.assert_close(*at_target, rtol=3e-2, atol=1e-7)


def test_lora_on_four_bit_weights() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from peft import LoraConfig, get_peft_model

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = bitsandbytes.nn.Linear4bit(
                128, 256, bias=False, quant_type="nf4", compute_dtype=torch.bfloat16
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x)

    torch.manual_seed(0)
    model: Any = get_peft_model(One().cuda(), LoraConfig(r=8, target_modules=["first"]))
    nn.init.normal_(model.base_model.model.first.lora_B["default"].weight, std=0.1)
    x = torch.randn(2, 40, 128, device="cuda").bfloat16()
    results: list[dict[str, Tensor]] = []
    for fused in (False, True):
        if fused:
            assert fuse(model) == 1
        given = x.clone().requires_grad_()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            y = model(given)
        y.float().square().sum().backward()
        assert given.grad is not None
        results.append(gradients(model) | {"x": given.grad.float(), "y": y.detach().float()})
    agree(results[1], results[0], 0.02)


def test_a_step_never_waits_for_the_device() -> None:
    trained = adapted(make("llama", torch.bfloat16))
    forward: CausalForward = probe(trained, gpu(), HALF)
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimizer: Any = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> None:
        losses = forward.text_losses(packed())
        losses.sum().backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.grad_scale = None
        optimizer.found_inf = (~torch.isfinite(norm + losses.sum())).float()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()  # makes the optimizer's state and the kernels' workspaces
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
