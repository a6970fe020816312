"""Small real tokenizers, made from text that stands here."""

import pytest
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from tunegate.trainer.tiny import make_tiny_tokenizer

CORPUS = [
    "the quick brown fox jumps over the lazy dog and the quick cat says hello to the world",
    "hello world, hello there; what is the answer? the answer is forty two",
    "größe straße übung 日本語 日本 東京 naïve café",
] * 20


@pytest.fixture(scope="session")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte and per control token, so that masks can be counted by hand."""
    return make_tiny_tokenizer([], vocab=259)


@pytest.fixture(scope="session")
def merging_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that merges words with the space before them."""
    return make_tiny_tokenizer(CORPUS, vocab=500)


@pytest.fixture(scope="session")
def trimming_tokenizer(merging_tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The same with a normaliser and with offsets that leave spaces out, as some published tokenizers have."""
    core = Tokenizer.from_str(merging_tokenizer.backend_tokenizer.to_str())
    core.normalizer = normalizers.NFC()
    core.post_processor = processors.ByteLevel(trim_offsets=True)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>")


@pytest.fixture(scope="session")
def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """A sentencepiece-like tokenizer that puts <s> before every text."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    core.train_from_iterator([*CORPUS, "[INST] [/INST] ABC xyz 0123456789 .,;?!\n"], trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
