"""Masks of tokens, counted by hand; begin and end tokens; equality with transformers' own masks."""

import copy
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from tunegate.sdk.data import ChatRow, CompletionRow, Message, Row, TextRow, normalise
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.masks import Mask, mask_by_offsets
from tunegate.trainer.data.render import Example, Renderer
from tunegate.trainer.data.tokenise import Tokeniser
from tunegate.trainer.tiny import make_tiny_tokenizer

CHAT = ChatRow(
    messages=[Message(role="user", content="hi"), Message(role="assistant", content="größe")]
)


class Tokens(NamedTuple):
    ids: NDArray[np.int32]
    mask: Mask


def encode(tokenizer: PreTrainedTokenizerFast, row: Row, train_on: str = "completions") -> Tokens:
    renderer = Renderer(tokenizer, train_on)  # type: ignore[arg-type]
    [tokens] = Tokeniser(tokenizer).encode(renderer.render(row)).each()
    return Tokens(*tokens)


def shown(tokenizer: PreTrainedTokenizerFast, tokens: Tokens) -> tuple[str, str]:
    """(all tokens, those that count) as text."""
    return tokenizer.decode(tokens.ids), tokenizer.decode(tokens.ids[tokens.mask])


def test_text_counts_but_for_its_first_token(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode(byte_tokenizer, TextRow(text="abc"))
    assert shown(byte_tokenizer, tokens) == ("abc<|im_end|>", "bc<|im_end|>")
    assert tokens.mask.tolist() == [False, True, True, True]


def test_a_completion_counts_and_its_prompt_does_not(
    byte_tokenizer: PreTrainedTokenizerFast,
) -> None:
    tokens = encode(byte_tokenizer, CompletionRow(prompt="größe? ", completion="ja"))
    assert tokens.mask.tolist() == [False] * 9 + [True] * 3
    everything = encode(byte_tokenizer, CompletionRow(prompt="größe? ", completion="ja"), "all")
    assert everything.mask.tolist() == [False] + [True] * 11


def test_alpaca(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    row = normalise({"instruction": "Add.", "input": "1 2", "output": "3"})
    tokens = encode(byte_tokenizer, row)
    assert len(tokens.ids) == 17 + 6 + 11 + 5 + 14 + 2
    assert shown(byte_tokenizer, tokens)[1] == "3<|im_end|>"


def test_chat(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode(byte_tokenizer, CHAT)
    # control token, "user\n", "hi", control token, "\n", control token, "assistant\n"
    before = 1 + 5 + 2 + 1 + 1 + 1 + 10
    assert tokens.mask.tolist() == [False] * before + [True] * (7 + 1) + [False]
    assert encode(byte_tokenizer, CHAT, "all").mask.tolist() == [False] + [True] * (before + 8)


def test_the_same_as_transformers(merging_tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [
        {"role": "user", "content": "hello  world\n\n日本語"},
        {"role": "assistant", "content": "  the straße is 東京 "},
        {"role": "user", "content": "naïve?"},
        {"role": "assistant", "content": "\nforty two"},
    ]
    tokens = encode(merging_tokenizer, normalise({"messages": messages}))
    theirs = merging_tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    assert tokens.ids.tolist() == theirs["input_ids"]
    assert tokens.mask.astype(int).tolist() == theirs["assistant_masks"]


@pytest.mark.parametrize("name", ["merging_tokenizer", "trimming_tokenizer"])
def test_spaces_that_merge_with_the_answer(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(name)
    row = CompletionRow(prompt="what is the answer?", completion=" the world")
    assert shown(tokenizer, encode(tokenizer, row))[1] == " the world<|im_end|>"
    # The space belongs to the prompt but to the answer's first token: that token counts.
    row = CompletionRow(prompt="what is the answer? ", completion="the world")
    assert shown(tokenizer, encode(tokenizer, row))[1] == " the world<|im_end|>"
    row = CompletionRow(prompt="größe  ", completion="  日本 ")
    assert shown(tokenizer, encode(tokenizer, row))[1].strip("�") == "  日本 <|im_end|>"


@given(
    st.text(alphabet="ab ü日\n\t😀é", max_size=12),
    st.text(alphabet="ab ü日\n\t😀é", min_size=1, max_size=12),
)
def test_both_ways_to_a_mask_agree(prompt: str, completion: str) -> None:
    core = TOKENIZER.backend_tokenizer
    text = prompt + completion
    span = (len(prompt), len(text))
    tokens = Tokeniser(TOKENIZER).encode([Example(text, [span], bare=False)])
    encoding = core.encode(text, add_special_tokens=False)
    by_offsets = mask_by_offsets(encoding.offsets, [span])
    by_offsets[:1] = False
    assert tokens.ids.tolist() == encoding.ids
    # Offsets know characters only; where one is split over tokens they may count one token more, never less.
    assert (tokens.mask <= by_offsets).all()
    if text.isascii():
        assert tokens.mask.tolist() == by_offsets.tolist()


TOKENIZER = make_tiny_tokenizer(["aa ab  ab ba\n\nüb 日 é"] * 5, vocab=290)


def test_a_begin_token_is_put_before_text_once(
    metaspace_tokenizer: PreTrainedTokenizerFast,
) -> None:
    tokens = encode(metaspace_tokenizer, TextRow(text="hello world"))
    assert shown(metaspace_tokenizer, tokens)[0] == "<s> hello world</s>"
    again = encode(metaspace_tokenizer, TextRow(text="<s>hello world</s>"))
    assert again.ids.tolist().count(metaspace_tokenizer.bos_token_id) == 1
    assert again.ids.tolist().count(metaspace_tokenizer.eos_token_id) == 1
    assert not again.mask[0]


def test_a_chat_has_the_begin_token_of_its_template_only(
    metaspace_tokenizer: PreTrainedTokenizerFast,
) -> None:
    tokenizer = copy.deepcopy(metaspace_tokenizer)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
        "{% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
    )
    row = ChatRow(messages=[CHAT.messages[0], Message(role="assistant", content="hello there")])
    tokens = encode(tokenizer, row)
    assert tokens.ids.tolist().count(tokenizer.bos_token_id) == 1
    words = tokenizer.convert_ids_to_tokens(tokens.ids[tokens.mask].tolist())
    assert "".join(words) == "▁hello▁there▁</s>"


def test_settings_of_the_tokenizer_file_do_not_cut_or_pad(
    byte_tokenizer: PreTrainedTokenizerFast,
) -> None:
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    assert len(encode(tokenizer, TextRow(text="abcdef")).ids) == 7
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 3


def test_a_tokenizer_without_a_fast_core_is_refused() -> None:
    with pytest.raises(TunegateError) as caught:
        Tokeniser(object())  # type: ignore[arg-type]
    assert caught.value.code == "model_invalid"


def test_nothing_gives_nothing(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    assert not list(Tokeniser(byte_tokenizer).encode([]).each())


def test_a_token_of_one_space_has_no_width_but_counts() -> None:
    # "a", " " (trimmed to no width), "b": the space is character 1.
    offsets = [(0, 1), (2, 2), (2, 3)]
    assert mask_by_offsets(offsets, [(1, 2)]).tolist() == [False, True, False]
    assert mask_by_offsets(offsets, [(1, 3)]).tolist() == [False, True, True]
    assert mask_by_offsets(offsets, [(2, 3)]).tolist() == [False, False, True]
    assert mask_by_offsets(offsets, [(0, 1)]).tolist() == [True, False, False]


def test_a_normaliser_that_moves_bytes_about(trimming_tokenizer: PreTrainedTokenizerFast) -> None:
    # Normal form C makes six bytes of the prompt's three and six of the answer's nine: the sum stays the same.
    row = CompletionRow(prompt="\u0958", completion="e\u0301" * 3)
    tokens = encode(trimming_tokenizer, row)
    assert shown(trimming_tokenizer, tokens)[1] == "ééé<|im_end|>"
