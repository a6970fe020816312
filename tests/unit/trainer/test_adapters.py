"""Which weights train, for names of any architecture."""

from typing import Any

import pytest
import torch
import transformers as tf

from support.trainer_bench import Bench
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.adapters import make_trainable
from tunegate.trainer.blocks import choose_blocks

SMALL: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2,
}  # fmt: skip
GPT2: dict[str, Any] = {"vocab_size": 64, "n_embd": 64, "n_layer": 3, "n_head": 2}


def llama(layers: int = 3) -> Any:
    torch.manual_seed(0)
    config = tf.LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    return tf.LlamaForCausalLM(config)


def trained(model: Any) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", ["decoder.layers.1", "model.layers.1", "layers.1", "transformer.h.1", "h.1"])  # fmt: skip
@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt", "neox"])
def test_block_names_of_any_architecture_are_understood(bench: Bench, name: str, kind: str) -> None:
    made = {
        "llama": llama,
        "gpt2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(**GPT2)),
        "opt": lambda: tf.OPTForCausalLM(tf.OPTConfig(**SMALL, ffn_dim=64, word_embed_proj_dim=64)),
        "neox": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**SMALL, intermediate_size=64)),
    }
    blocks = choose_blocks(made[kind](), bench.spec("x", trainable_layers=[name]))
    assert blocks is not None
    assert (blocks.chosen, blocks.count) == ([1], 3)


@pytest.mark.parametrize("name", ["layers.3", "layers", "layers.-1", "encoder", "layers.x"])
def test_a_layer_that_is_not_there(bench: Bench, name: str) -> None:
    with pytest.raises(TunegateError, match=r"model\.layers\.0 to model\.layers\.2") as caught:
        choose_blocks(llama(), bench.spec("x", trainable_layers=[name]))
    assert caught.value.code == "config_invalid"


@pytest.mark.parametrize(
    "adapter",
    [
        {},
        {"target_modules": ["q_proj", "down_proj"]},
        {"peft_type": "IA3", "target_modules": ["k_proj", "down_proj"], "options": {"feedforward_modules": ["down_proj"]}},
        {"peft_type": "LOHA"},
        {"peft_type": "VERA"},
        {"peft_type": "OFT"},
    ],
    ids=["all linear", "named", "IA3", "LoHa", "VeRA", "OFT"],
)  # fmt: skip
def test_an_adapter_in_chosen_blocks_only(bench: Bench, adapter: dict[str, Any]) -> None:
    spec = bench.spec("x", adapter=adapter, trainable_layers=["layers.0", "layers.2"])
    model, sentence = make_trainable(llama(), spec)
    names = trained(model)
    assert any(".layers.0." in name for name in names)
    assert any(".layers.2." in name for name in names)
    assert not any(".layers.1." in name or "lm_head" in name for name in names)
    assert "trains blocks 0, 2 of 3, as trainable_layers asks" in sentence


def test_a_named_module_only(bench: Bench) -> None:
    model, _ = make_trainable(llama(), bench.spec("x", adapter={"target_modules": ["q_proj"]}))
    assert all(".q_proj." in name for name in trained(model))


def test_advisory_layers_train_all_and_say_so(bench: Bench) -> None:
    spec = bench.spec("x", trainable_layers=["layers.0"], trainable_layers_advisory=True)
    model, sentence = make_trainable(llama(), spec)
    assert any(".layers.2." in name for name in trained(model))
    assert "advisory" in sentence


def test_gpt2_has_other_modules_and_they_are_named(bench: Bench) -> None:
    model: Any = tf.GPT2LMHeadModel(tf.GPT2Config(**GPT2))
    spec = bench.spec("x", adapter={"target_modules": ["q_proj", "v_proj"]})
    with pytest.raises(TunegateError, match=r"q_proj, v_proj is in no layer.*c_attn") as caught:
        make_trainable(model, spec)
    assert caught.value.code == "config_invalid"


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        ({"options": {"rankk": 3}}, "does not know rankk"),
        ({"options": {"init_lora_weights": "magic"}}, "refuses"),
        ({"peft_type": "ADALORA"}, "not served"),
        ({"peft_type": "NOPE"}, "PEFT has no type NOPE"),
        ({"options": {"target_modules": ".*nothing"}}, "refuses"),
    ],
)
def test_an_adapter_that_can_not_be_made(bench: Bench, adapter: dict[str, Any], words: str) -> None:
    with pytest.raises(TunegateError, match=words) as caught:
        make_trainable(llama(), bench.spec("x", adapter=adapter))
    assert caught.value.code == "config_invalid"


def test_the_base_is_named_as_the_user_named_it(bench: Bench) -> None:
    spec = bench.spec("x", model={"name": "owner/model", "revision": "v2"})
    model: Any = make_trainable(llama(), spec)[0]
    config = model.peft_config["default"]
    assert (config.base_model_name_or_path, config.revision) == ("owner/model", "v2")


def test_full_training_trains_everything(bench: Bench) -> None:
    spec = bench.spec("x", method="full", adapter=None)
    model, sentence = make_trainable(llama(), spec)
    assert trained(model) == {name for name, _ in model.named_parameters()}
    assert sentence.startswith("trains 0.1 M of 0.1 M")
