"""What a route declares of itself. The guard, the OpenAPI page and the tests all read it from there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

KEY = "operation"
"""The name under which a handler's `opt` holds its Operation."""


class Access(StrEnum):
    """Who may call a route. A route that does not say is closed."""

    OPEN = "open"
    """Anybody: health and documentation."""
    METRICS = "metrics"
    """Any token, or anybody where the operator opened it."""
    READ = "read"
    """Any token."""
    WRITE = "write"
    """A token that is not read-only."""
    ADMIN = "admin"
    """A token that may manage tokens and read the audit log."""
    ATTEMPT = "attempt"
    """The attempt's own token, which the control plane checks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: what it means and what it holds. `wire` None = no JSON body."""

    description: str
    wire: type[msgspec.Struct] | tuple[type[msgspec.Struct], ...] | None = None
    media: tuple[str, ...] = ("application/json",)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route. `errors` are codes of the catalogue that only this route answers with."""

    summary: str
    access: Access
    answers: Mapping[int, Answer]
    description: str = ""
    changes: str = ""
    """What it changes, in a few words; every method but GET says it, GET changes nothing."""
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    body_optional: bool = False
    errors: tuple[str, ...] = field(default=())

    def opt(self) -> dict[str, Any]:
        """As the `opt` of a handler."""
        return {KEY: self}
