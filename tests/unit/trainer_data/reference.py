"""A slow second opinion on which tokens count: prefix renders, character by character, byte by byte."""

import re
from typing import NamedTuple

from transformers import PreTrainedTokenizerFast

from tunegate.sdk.data import Message


class Refused(Exception):
    """The template does not go on from its own generation prompt."""


class Marked(NamedTuple):
    """A text, and for each of its bytes whether it counts."""

    text: str
    counts: list[bool]


def marked(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> list[Marked]:
    """What the product should learn from this conversation."""
    if "{% generation %}" in tokenizer.get_chat_template():
        return [_between_marks(tokenizer, messages)]
    whole = _render(tokenizer, messages)
    answers = [
        _answer(tokenizer, messages[: place + 1])
        for place, message in enumerate(messages)
        if message.role == "assistant" and message.counts
    ]
    if all(whole[:end] == text[:end] for text, _, end in answers):
        spans = [(start, end) for _, start, end in answers]
        return [_bytewise(whole, spans)]
    return [_bytewise(text, [(start, end)]) for text, start, end in answers]


def tokens_that_count(
    tokenizer: PreTrainedTokenizerFast, ids: list[int], text: Marked
) -> list[bool]:
    """Spells every token out and lays it beside the text."""
    data, place, found = text.text.encode(), 0, list[bool]()
    for number, one in enumerate(ids):
        spelt = _spelt(tokenizer, one)
        if spelt[:1] == b" " and data[place : place + 1] != b" ":
            spelt = spelt[1:]  # a space that the tokenizer puts before a word by itself
        assert data[place : place + len(spelt)] == spelt, (number, spelt, data[place:][:20])
        # A token that stands for no byte is read off together with the byte behind it.
        found.append(number > 0 and any(text.counts[place : place + max(1, len(spelt))]))
        place += len(spelt)
    assert place == len(data)
    return found


def _answer(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> tuple[str, int, int]:
    """The conversation that ends with an answer, and where that begins and ends."""
    text = _render(tokenizer, messages)
    before = _render(tokenizer, messages[:-1], prompt=True)
    if text[: len(before)] != before:
        raise Refused
    said = messages[-1].content
    one, other = (
        _render(tokenizer, [*messages[:-1], Message(role="assistant", content=said + letter)])
        for letter in "xy"
    )
    tail = 0
    while one[-1 - tail] == other[-1 - tail] and one[-1 - tail] not in "xy":
        tail += 1
    behind = text[len(text) - tail :]
    control = [token.content for token in tokenizer.added_tokens_decoder.values()]
    for width in range(tail + 1):
        if any(behind[:width].endswith(token) for token in control):
            return text, len(before), len(text) - tail + width
    return text, len(before), len(text)


def _between_marks(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> Marked:
    template = tokenizer.get_chat_template()
    shown = template.replace("{% generation %}", "{{ '\ue000' }}")
    shown = shown.replace("{% endgeneration %}", "{{ '\ue001' }}")
    pieces = re.split("[\ue000\ue001]", _render(tokenizer, messages, template=shown))
    answers = iter(message.counts for message in messages if message.role == "assistant")
    text, spans = "", list[tuple[int, int]]()
    for number, piece in enumerate(pieces):
        if number % 2 and next(answers):
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return _bytewise(text, spans)


def _bytewise(text: str, spans: list[tuple[int, int]]) -> Marked:
    counts: list[bool] = []
    for place, character in enumerate(text):
        inside = any(start <= place < end for start, end in spans)
        counts += [inside] * len(character.encode())
    return Marked(text, counts)


def _render(
    tokenizer: PreTrainedTokenizerFast,
    messages: list[Message],
    *,
    prompt: bool = False,
    template: str | None = None,
) -> str:
    chat = [{"role": message.role, "content": message.content} for message in messages]
    text = tokenizer.apply_chat_template(
        chat, chat_template=template, tokenize=False, add_generation_prompt=prompt
    )
    assert isinstance(text, str)
    return text


def _spelt(tokenizer: PreTrainedTokenizerFast, one: int) -> bytes:
    if one in tokenizer.added_tokens_decoder:
        return tokenizer.added_tokens_decoder[one].content.encode()
    piece = str(tokenizer.convert_ids_to_tokens(one))
    if byte := re.fullmatch("<0x([0-9A-F]{2})>", piece):
        return bytes([int(byte[1], 16)])
    if "▁" in str(tokenizer.backend_tokenizer.decoder):
        return piece.replace("▁", " ").encode()
    return bytes(_BYTES[letter] for letter in piece)


def _byte_letters() -> dict[str, int]:
    """The letter that byte-level tokenizers write for each byte: printable Latin-1 itself, the rest from U+0100."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {
        chr(0x100 + place): byte for place, byte in enumerate(rest)
    }


_BYTES = _byte_letters()
