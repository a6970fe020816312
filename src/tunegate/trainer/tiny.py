"""A small but complete causal language model with random weights, for demos and tests: no download needed."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MULTIPLE = 64
"""Sizes that 4-bit kernels take on every device."""

PAD = "<|pad|>"
END_OF_TURN = "<|im_end|>"
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML with generation markers: the answer and its end token count for the loss, the line break after them does not."""


def make_tiny_model(
    folder: Path,
    *,
    corpus: Iterable[str],
    hidden: int = 256,
    layers: int = 4,
    vocab: int = 4096,
    seed: int = 0,
) -> None:
    """Write a Llama config, seeded random weights (safetensors) and a byte-level BPE tokenizer trained on `corpus`.

    `hidden` is a multiple of 64. A small corpus may give fewer than `vocab` tokens; the model's vocabulary is the
    tokenizer's, rounded up to a multiple of 64.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    if hidden % MULTIPLE:
        raise ValueError(f"hidden must be a multiple of {MULTIPLE}")
    tokenizer = make_tiny_tokenizer(corpus, vocab)
    heads = hidden // 32
    special = tokenizer.get_added_vocab()
    eos, pad = special[END_OF_TURN], special[PAD]
    config = LlamaConfig(
        vocab_size=_round_up(len(tokenizer)),
        hidden_size=hidden,
        intermediate_size=_round_up(hidden * 11 // 4),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=eos, pad_token_id=pad)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tiny_tokenizer(
    corpus: Iterable[str], vocab: int = 4096, template: str | None = CHATML
) -> "PreTrainedTokenizerFast":
    """A byte-level BPE tokenizer as transformers knows it; any text can be encoded and comes back unchanged."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[PAD, "<|im_start|>", END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END_OF_TURN,
        pad_token=PAD,
        extra_special_tokens=["<|im_start|>"],
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    return tokenizer


def _round_up(size: int) -> int:
    return -(-size // MULTIPLE) * MULTIPLE


def main(arguments: list[str] | None = None) -> None:
    """`python -m tunegate.trainer.tiny FOLDER --corpus FILE`: one text per line."""
    parser = argparse.ArgumentParser(prog="python -m tunegate.trainer.tiny", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    with given.corpus.open(encoding="utf-8") as lines:
        make_tiny_model(
            given.folder,
            corpus=(line.rstrip("\n") for line in lines),
            hidden=given.hidden,
            layers=given.layers,
            vocab=given.vocab,
            seed=given.seed,
        )


if __name__ == "__main__":
    main()
