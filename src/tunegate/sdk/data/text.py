"""Checks of one string of a row."""

import re


class RowInvalid(ValueError):
    """Why a row can't be trained on. Names keys and positions, never content."""


_UNUSABLE = re.compile("[\0\ud800-\udfff]")


def read_text(value: object, what: str, *, may_be_empty: bool = False) -> str:
    """`value` as a string that a tokenizer can take. Raises RowInvalid with `what` as the subject."""
    if not isinstance(value, str):
        raise RowInvalid(f"{what} is {kind(value)}, not a string")
    if not may_be_empty and not value.strip():
        raise RowInvalid(f"{what} is empty")
    if _is_broken(value):
        raise RowInvalid(f"{what} holds a NUL or half a surrogate pair")
    return value


def is_usable(text: str) -> bool:
    """Whether `read_text` would take this string, empty ones not."""
    return not (text.isspace() or not text or _is_broken(text))


def _is_broken(text: str) -> bool:
    return "\0" in text if text.isascii() else _UNUSABLE.search(text) is not None


def kind(value: object) -> str:
    """The JSON name of a value's type, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "neither text nor JSON"
