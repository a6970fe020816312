"""NEFTune: how much noise, where, and only while training."""

from typing import Any

import pytest
import torch
import transformers as tf

from support.trainer_bench import Bench
from tunegate.trainer.adapters import make_trainable
from tunegate.trainer.neftune import add_noise, example_lengths

WIDTH = 64


def llama() -> Any:
    torch.manual_seed(0)
    config = tf.LlamaConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=128, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    return tf.LlamaForCausalLM(config)


def noise(model: Any, ids: torch.Tensor, **arguments: Any) -> torch.Tensor:
    """What the decoder's first block gets, less the embeddings themselves."""
    seen: list[torch.Tensor] = []
    hook = model.model.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model.model(input_ids=ids, use_cache=False, **arguments)
    hook.remove()
    return (seen[0] - model.model.embed_tokens.weight[ids]).detach()


def test_lengths_of_packed_examples() -> None:
    positions = torch.tensor([0, 1, 2, 0, 0, 1])
    assert example_lengths(positions).tolist() == [3, 3, 3, 1, 2, 2]


def test_noise_is_bounded_by_the_length_of_each_example() -> None:
    model, alpha = llama().train(), 5.0
    add_noise(model, alpha)
    sizes = [40, 10]
    ids = torch.arange(50)[None] % 64
    positions = torch.cat([torch.arange(size) for size in sizes])[None]
    parts = noise(model, ids, position_ids=positions)[0].split(sizes)
    for part, size in zip(parts, sizes, strict=True):
        bound = alpha / (size * WIDTH) ** 0.5
        assert 0.95 * bound < part.abs().max() <= bound * 1.0001
    alone = noise(model, ids[:, :10])
    assert 0.95 < alone.abs().max() / (alpha / (10 * WIDTH) ** 0.5) <= 1.0001


def test_no_noise_in_evaluation_and_the_same_noise_for_the_same_seed() -> None:
    model = llama()
    add_noise(model, 5.0)
    ids = torch.arange(8)[None]
    assert not noise(model.eval(), ids).any()
    model.train()
    drawn: list[torch.Tensor] = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(noise(model, ids))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("adapter", [{}, {"options": {"modules_to_save": ["embed_tokens"]}}, {"target_modules": ["embed_tokens"]}])  # fmt: skip
def test_adapted_embeddings_are_disturbed_too(bench: Bench, adapter: dict[str, Any]) -> None:
    trained: Any = make_trainable(llama(), bench.spec("x", adapter={**adapter, "dropout": 0.0}))[0]
    model = trained.get_base_model()
    add_noise(model, 5.0)
    ids = torch.arange(8)[None]
    first, second = (model(input_ids=ids).logits for _ in range(2))
    assert not torch.equal(first, second)
