"""Packed rows against the plain models of transformers, one example at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from torch.nn.functional import cross_entropy, pad, scaled_dot_product_attention

from tunegate.sdk.errors import TunegateError
from tunegate.trainer import attention
from tunegate.trainer.data.packing import PackedBatch
from tunegate.trainer.device import Device, Precision
from tunegate.trainer.forward import Isolation, probe

VOCAB = 128
CPU, FP32 = Device(torch.device("cpu")), Precision(torch.float32, torch.float32)
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
WINDOW = {"head_dim": 16, "sliding_window": 4}
MODELS: dict[str, tuple[Callable[[], Any], Isolation, bool]] = {
    "llama": (lambda: tf.LlamaConfig(**SIZES), Isolation.SEGMENTS, True),
    "mistral, window": (lambda: tf.MistralConfig(**SIZES, **WINDOW), Isolation.SEGMENTS, True),
    "gpt2": (
        lambda: tf.GPT2Config(vocab_size=VOCAB, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2),
        Isolation.SEGMENTS, True,
    ),
    "gemma2, capped": (lambda: tf.Gemma2Config(**SIZES, **WINDOW), Isolation.MASK, False),
    "granite, scaled": (lambda: tf.GraniteConfig(**SIZES, logits_scaling=8.0), Isolation.SEGMENTS, False),
    "mamba": (
        lambda: tf.MambaConfig(vocab_size=VOCAB, hidden_size=64, num_hidden_layers=2, pad_token_id=0),
        Isolation.SINGLE, True,
    ),
    "bloom": (
        lambda: tf.BloomConfig(vocab_size=VOCAB, hidden_size=64, n_layer=2, n_head=4), Isolation.SINGLE, True,
    ),
}  # fmt: skip


def examples() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    random = torch.Generator().manual_seed(3)
    tokens = [torch.randint(3, VOCAB, (n,), generator=random) for n in (7, 1, 11, 5)]
    labels = [torch.where(torch.arange(len(t)) >= 2, t, -100) for t in tokens]
    return tokens, labels


def packed(tokens: list[torch.Tensor], labels: list[torch.Tensor]) -> PackedBatch:
    lengths = [len(t) for t in tokens]
    return PackedBatch(
        input_ids=torch.cat(tokens)[None].numpy(),
        labels=torch.cat(labels)[None].numpy(),
        position_ids=np.concatenate([np.arange(n) for n in lengths])[None],
        cu_seqlens=np.cumsum([0, *lengths]).astype(np.int32),
        example_ids=np.arange(len(tokens)),
        num_targets=int(sum((part >= 0).sum() for part in labels)),
    )


def one_by_one(model: Any, tokens: list[torch.Tensor], labels: list[torch.Tensor]) -> torch.Tensor:
    losses = [
        cross_entropy(
            model(input_ids=t[None], use_cache=False).logits[0, :-1].float(),
            wanted[1:], ignore_index=-100, reduction="sum",
        )
        for t, wanted in zip(tokens, labels, strict=True)
        if (wanted >= 0).any()
    ]  # fmt: skip
    return torch.stack(losses).sum()


def make(config: Callable[[], Any]) -> Any:
    torch.manual_seed(0)
    attention.register()
    model = tf.AutoModelForCausalLM.from_config(config(), attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)  # so that tokens matter to each other
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_packed_loss_is_the_loss_of_the_examples(name: str) -> None:
    config, isolation, bare_head = MODELS[name]
    model = make(config)
    tokens, labels = examples()
    with torch.no_grad():
        expected = one_by_one(model, tokens, labels).item()
        forward = probe(model, CPU, FP32)
        assert forward.loss(packed(tokens, labels)).item() == pytest.approx(expected, rel=1e-6)
    assert (forward.isolation, forward.bare_head) == (isolation, bare_head)


@pytest.mark.parametrize("precision", [FP32, Precision(torch.bfloat16, torch.bfloat16)])
def test_an_encoder_is_no_causal_model(precision: Precision) -> None:
    """Its loss would fall to nothing: every token sees the one that it should foretell."""

    def config(**more: Any) -> Any:
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        return tf.BertConfig(vocab_size=128, intermediate_size=128, **sizes, **more)

    with pytest.raises(TunegateError, match="bert that sees later tokens") as caught:
        probe(make(config), CPU, precision)
    assert caught.value.code == "model_invalid"
    probe(make(lambda: config(is_decoder=True)), CPU, precision)


def test_weights_that_give_no_numbers_are_refused_before_the_training() -> None:
    model = make(next(iter(MODELS.values()))[0])
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(TunegateError, match="not finite") as caught:
        probe(model, CPU, FP32)
    assert caught.value.code == "model_invalid"


def test_gradients_of_an_adapter_equal_those_of_padded_rows() -> None:
    from peft import LoraConfig, get_peft_model

    model = make(MODELS["llama"][0])
    model.set_attn_implementation("sdpa")
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    tokens, labels = examples()
    longest = max(len(t) for t in tokens)
    rows = torch.stack([pad(t, (0, longest - len(t))) for t in tokens])
    mask = torch.stack([pad(torch.ones_like(t), (0, longest - len(t))) for t in tokens])
    wanted = torch.stack([pad(part, (0, longest - len(part)), value=-100) for part in labels])
    batch = packed(tokens, labels)

    padded = adapted(input_ids=rows, attention_mask=mask, labels=wanted, use_cache=False).loss
    padded.backward()
    expected = {n: p.grad.clone() for n, p in adapted.named_parameters() if p.grad is not None}
    adapted.zero_grad()
    loss = probe(adapted, CPU, FP32).loss(batch) / batch.num_targets
    loss.backward()

    assert loss.item() == pytest.approx(padded.item(), rel=1e-6)
    largest = max(gradient.abs().max() for gradient in expected.values())
    for name, parameter in adapted.named_parameters():
        if name in expected:
            assert parameter.grad is not None
            difference = (parameter.grad - expected[name]).abs().max()
            assert difference <= 2e-6 * largest, name


def test_a_leak_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an attention that forgets the borders, the probe falls back to what keeps examples apart."""
    monkeypatch.setattr(
        attention,
        "_by_segment",
        lambda q, k, v, *_: scaled_dot_product_attention(
            q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), is_causal=True
        ).transpose(1, 2),
    )
    assert probe(make(MODELS["llama"][0]), CPU, FP32).isolation is Isolation.MASK


def test_gradient_checkpointing_changes_nothing() -> None:
    tokens, labels = examples()
    losses: list[float] = []
    norms: list[float] = []
    for checkpointing in (False, True):
        model = make(MODELS["llama"][0])
        forward = probe(model, CPU, FP32)
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        loss = forward.loss(packed(tokens, labels))
        loss.backward()
        losses.append(loss.item())
        norms.append(sum(p.grad.norm().item() for p in model.parameters() if p.grad is not None))
    assert losses[0] == losses[1]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
