"""Masks of ten published styles of templates under three kinds of tokenizers equal a slow second opinion."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from tests.unit.trainer_data.conftest import CORPUS
from tests.unit.trainer_data.published import CONTROL, TEMPLATES
from tests.unit.trainer_data.reference import Refused, marked, tokens_that_count
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from tunegate.sdk.data import Message, RowInvalid
from tunegate.trainer.data.render import Example
from tunegate.trainer.data.template import DEFAULT_TEMPLATE, ChatTemplate
from tunegate.trainer.data.tokenise import Tokeniser
from tunegate.trainer.tiny import make_tiny_tokenizer

TEXT = [
    *CORPUS,
    "[INST] [/INST] <<SYS>> <</SYS>> user assistant system model tool <think> </think>\n\n",
]


def _sentencepiece(*, legacy: bool) -> Tokenizer:
    """Pieces with byte fallback; the space before a word is put by the pre-tokenizer, or by a normaliser (legacy)."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if legacy:
        core.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    special = ["<unk>", *fallback]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    core.train_from_iterator(TEXT, trainer)
    # The bytes are pieces of the vocabulary, not tokens that stand in a text.
    loaded = json.loads(core.to_str())
    loaded["added_tokens"] = loaded["added_tokens"][:1]
    return Tokenizer.from_str(json.dumps(loaded))


def _wrapped(core: Tokenizer) -> PreTrainedTokenizerFast:
    core.add_special_tokens([AddedToken(token, normalized=False) for token in CONTROL])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


TOKENIZERS = {
    "byte-level": _wrapped(make_tiny_tokenizer(TEXT, vocab=600).backend_tokenizer),
    "metaspace": _wrapped(_sentencepiece(legacy=False)),
    "legacy": _wrapped(_sentencepiece(legacy=True)),
}

WORDS = st.lists(
    st.sampled_from(
        ["a", "the answer", " ", "  ", "\n", "\n\n", "é日本😀", "hello", "world", "</think>", "<think>", "[INST]",
         "<|im_end|>", "</s>", "x", ".", "\t", "größe"]
    ),
    min_size=1, max_size=6,
).map("".join)  # fmt: skip
SAID = WORDS.filter(lambda text: bool(text.strip()))


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """One to three rounds, perhaps a system prompt, tool messages, and answers that are context only."""
    system = draw(st.booleans())
    messages = [Message(role="system", content=draw(WORDS))] if system else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message(role="user", content=draw(SAID)))
        if draw(st.integers(0, 5)) == 0:
            messages.append(Message(role="assistant", content=draw(SAID)))
            messages.append(Message(role="tool", content=draw(WORDS)))
        counts = draw(st.integers(0, 3)) > 0
        messages.append(Message(role="assistant", content=draw(SAID), counts=counts))
    last = Message(role="assistant", content=messages[-1].content)
    return [*messages[:-1], last]


def _with(kind: str, template: str) -> PreTrainedTokenizerFast:
    tokenizer = copy.copy(TOKENIZERS[kind])
    tokenizer.chat_template = template
    return tokenizer


CASES = [(kind, name) for kind in TOKENIZERS for name in (*TEMPLATES, "default")]
PREPARED = {
    (kind, name): _with(kind, TEMPLATES.get(name, DEFAULT_TEMPLATE)) for kind, name in CASES
}


@pytest.mark.parametrize(("kind", "name"), CASES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages=conversations())
def test_masks(kind: str, name: str, messages: list[Message]) -> None:
    tokenizer = PREPARED[kind, name]
    try:
        expected = marked(tokenizer, messages)
    except (Refused, TemplateError):
        with pytest.raises(RowInvalid):
            ChatTemplate(tokenizer).examples(messages)
        return
    found = ChatTemplate(tokenizer).examples(messages)
    assert [one.text for one in found] == [one.text for one in expected]
    tokens = Tokeniser(tokenizer).encode([Example(*one, bare=False) for one in found])
    for (ids, mask), text in zip(tokens.each(), expected, strict=True):
        assert ids.tolist() == tokenizer.encode(text.text, add_special_tokens=False)
        assert mask.tolist() == tokens_that_count(tokenizer, ids.tolist(), text)
