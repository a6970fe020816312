"""A chosen and a rejected answer to the same prompt, in the forms in which data sets bring them."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from tunegate.sdk.data.messages import Message
from tunegate.sdk.data.text import RowInvalid


class Texts(NamedTuple):
    """Plain text: both answers follow the prompt at once."""

    prompt: str
    chosen: str
    rejected: str


def pair_texts(prompt: str | None, chosen: str, rejected: str) -> Texts:
    """Without a prompt it is what both texts begin with, up to the last white space in it. Raises RowInvalid."""
    if prompt is None:
        common = chosen[: _common(chosen, rejected)]
        end = (
            max((place for place, letter in enumerate(common) if letter.isspace()), default=-1) + 1
        )
        prompt, chosen, rejected = chosen[:end], chosen[end:], rejected[end:]
    _differ(chosen, rejected)
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not answer:
            raise RowInvalid(f"nothing of {name} is left after what both have in common")
    return Texts(prompt, chosen, rejected)


def pair_chats(
    prompt: Sequence[Message], chosen: Sequence[Message], rejected: Sequence[Message]
) -> tuple[list[Message], list[Message]]:
    """Two conversations; what both begin with is context and does not count.

    The answers may be whole conversations: a prompt that stands in them already is not put before them again.
    Raises RowInvalid.
    """
    common = chosen[: _common(chosen, rejected)]
    _differ(chosen, rejected)
    if _stands_in(prompt, common):
        prompt = []
    context = [_context(message) for message in (*prompt, *common)]
    sides: list[list[Message]] = []
    for name, messages in (("chosen", chosen), ("rejected", rejected)):
        answer = messages[len(common) :]
        if not any(message.role == "assistant" and message.counts for message in answer):
            raise RowInvalid(f"nothing of {name} is left after what both have in common")
        if answer[-1].role != "assistant":
            raise RowInvalid(f"the last message of {name} is not the assistant's")
        sides.append([*context, *answer])
    return sides[0], sides[1]


def _differ(chosen: object, rejected: object) -> None:
    if chosen == rejected:
        raise RowInvalid("chosen and rejected are the same")


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many items both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _context(message: Message) -> Message:
    return Message(role=message.role, content=message.content, counts=False)


def _stands_in(prompt: Sequence[Message], common: Sequence[Message]) -> bool:
    """Whether the prompt's messages, one after the other, are part of what both answers begin with."""
    wanted = [(message.role, message.content) for message in prompt]
    there = [(message.role, message.content) for message in common]
    starts = range(len(there) - len(wanted) + 1)
    return any(there[start : start + len(wanted)] == wanted for start in starts)
