"""What a client does, as values: a flow yields steps and is sent their outcomes, so that one flow serves threads and tasks."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `safe`: done twice it is as good as done once."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    accept: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    safe: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The connection failed. `sent`: the gateway may have seen the request."""

    reason: str
    sent: bool


class Opened:
    """A stream is there to be read."""


@dataclass(frozen=True, slots=True)
class Send:
    """→ Answer or NoAnswer."""

    call: Call


@dataclass(frozen=True, slots=True)
class Open:
    """→ Opened where the status is 200, else Answer; or NoAnswer. The stream that was open is closed first."""

    call: Call
    quiet_s: float | None
    """So long nothing may come; None = for ever."""


@dataclass(frozen=True, slots=True)
class Read:
    """→ the next bytes of the stream, None at its end, NoAnswer where it breaks."""


@dataclass(frozen=True, slots=True)
class Pause:
    """→ None, later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """→ seconds of a clock that only goes on."""


@dataclass(frozen=True, slots=True)
class Give:
    """One item for who iterates."""

    item: Any


Step = Send | Open | Read | Pause | Now | Give
Flow = Generator[Step, Any, T]
"""Ends with the result."""
Stream = Generator[Step, Any, None]
"""Gives its items on the way."""
