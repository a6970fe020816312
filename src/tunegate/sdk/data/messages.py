"""The messages of a chat: roles in one spelling, contents as plain text."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from tunegate.contract.base import Wire
from tunegate.sdk.data.text import RowInvalid, is_usable, kind, read_text

Role = Literal["system", "user", "assistant", "tool"]

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
"""What data sets call the roles, and the name that chat templates know."""
_USUAL = frozenset({"role", "content"})


class Message(Wire):
    """One turn. `counts` False: an assistant's turn that is context only (`weight` 0, or part of a prompt)."""

    role: Role
    content: str
    counts: bool = True


def read_messages(value: object, what: str) -> list[Message]:
    """A list of `{role, content}` or `{from, value}`. Raises RowInvalid."""
    if not isinstance(value, list):
        raise RowInvalid(f"{what} is {kind(value)}, not a list of messages")
    if not value:
        raise RowInvalid(f"{what} is empty")
    return [_message(item, what, place) for place, item in enumerate(cast("list[Any]", value))]


def _message(item: object, what: str, place: int) -> Message:
    if type(item) is dict and item.keys() == _USUAL:
        fields = cast("dict[str, Any]", item)
        role, content = fields["role"], fields["content"]
        # Most messages are like this: what follows would find the same, in thrice the time.
        if type(role) is str and type(content) is str and is_usable(content) and role in ROLES:
            return Message(role=ROLES[role], content=content)
    return _any_message(item, f"{what}[{place}]")


def _any_message(item: object, what: str) -> Message:
    if not isinstance(item, Mapping):
        raise RowInvalid(f"{what} is {kind(item)}, not an object")
    fields = cast("Mapping[str, Any]", item)
    for key in ("tool_calls", "function_call"):
        if fields.get(key):
            raise RowInvalid(f"{what} has {key}, which can't be trained on yet")
    role = _first(fields, "role", "from")
    if role is None:
        raise RowInvalid(f"{what} has no role")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise RowInvalid(f"{what} has an unknown role; known: {', '.join(ROLES)}")
    name = ROLES[role.lower()]
    content = _content(
        _first(fields, "content", "value"), what, may_be_empty=name in {"system", "tool"}
    )
    return Message(role=name, content=content, counts=_weight(fields.get("weight"), what))


def _content(value: object, what: str, *, may_be_empty: bool) -> str:
    if value is None:
        raise RowInvalid(f"{what} has no content")
    if isinstance(value, list):
        parts = [
            _part(part, f"{what}.content[{n}]") for n, part in enumerate(cast("list[Any]", value))
        ]
        value = "".join(parts)
    return read_text(value, f"{what}.content", may_be_empty=may_be_empty)


def _part(part: object, what: str) -> str:
    if isinstance(part, Mapping):
        fields = cast("Mapping[str, Any]", part)
        if fields.get("type", "text") == "text":
            return read_text(fields.get("text"), f"{what}.text", may_be_empty=True)
    raise RowInvalid(f"{what} is not a text part")


def _weight(value: object, what: str) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or value not in (0, 1):
        raise RowInvalid(f"{what}.weight is neither 0 nor 1")
    return value == 1


def _first(fields: Mapping[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)
