"""A string that must not be seen: no encoder, a redacted repr, revealed only by name."""

import hmac
from typing import Any, NoReturn

REDACTED = "***"


class Secret:
    """A credential of a request. msgspec can't encode it, so it never leaves by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The clear text. Call it only where the value is used at once."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({REDACTED!r})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled")


def decode_hook(target: type[Any], value: object) -> object:
    """The msgspec `dec_hook` of every decoder that meets a Secret."""
    if target is Secret:
        if not isinstance(value, str):
            raise TypeError("Expected `str`")
        return Secret(value)
    raise NotImplementedError(target)


def redact_hook(value: object) -> object:
    """An `enc_hook` that writes `***` in a secret's place."""
    if isinstance(value, Secret):
        return REDACTED
    raise NotImplementedError(type(value))


def reveal_hook(value: object) -> object:
    """The `enc_hook` of the two places that must carry clear text: the sealer and the claim answer."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value))


def schema_hook(target: type[Any]) -> dict[str, object]:
    """JSON Schema of a Secret: a write-only password."""
    if target is Secret:
        return {"type": "string", "format": "password", "writeOnly": True}
    raise NotImplementedError(target)
