"""Values that arrive as text, in a query or an environment variable, turned into plain ones by the type they are for."""

import json
from typing import Any

from msgspec import inspect

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def from_text(expected: inspect.Type, text: str) -> Any:
    """The plain value that `text` writes; the text itself where it writes none, which the type's check then refuses.

    Lists and objects are JSON; a list may also be written with commas.
    """
    match expected:
        case inspect.Metadata():
            return from_text(expected.type, text)
        case inspect.UnionType():
            return _first_other(expected, text)
        case inspect.BoolType():
            return _BOOLEANS.get(text.lower(), text)
        case inspect.IntType():
            return _number(int, text)
        case inspect.FloatType():
            return _number(float, text)
        case inspect.AnyType() | inspect.DictType():
            return _json_or(text, text)
        case inspect.ListType() | inspect.VarTupleType():
            parts = [part.strip() for part in text.split(",") if part.strip()]
            return _json_or(text, [from_text(expected.item_type, part) for part in parts])
        case _:
            return text


def _first_other(expected: inspect.UnionType, text: str) -> Any:
    values = (from_text(option, text) for option in expected.types)
    return next((value for value in values if not isinstance(value, str)), text)


def _number(read: type[int] | type[float], text: str) -> Any:
    try:
        return read(text) if len(text) <= 32 else text
    except ValueError:
        return text


def _json_or(text: str, other: Any) -> Any:
    """JSON where a list is meant must begin like one: `80` in a list of numbers is its only entry."""
    if isinstance(other, list) and not text.lstrip().startswith("["):
        return other
    try:
        return json.loads(text)
    except ValueError:
        return other
