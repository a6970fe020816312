"""How a question to the store is written: a generator that yields statements and is sent their rows.

So the logic stands once, and each driver runs it in its own way: SQLite in the writer's thread, PostgreSQL on the event
loop. Statements are in the SQL that both know, with `:name` for values; a driver's `dialect` translates the rest:
`IN :names` takes a list of texts, `FOR UPDATE` and `SKIP LOCKED` lock rows where more than one may write, `INDEXED BY`
helps SQLite, which counts no rows before it chooses.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tunegate.control.caller import Caller, current_caller

T = TypeVar("T")
Row = tuple[Any, ...]
Rows = list[Row]


class Statement(NamedTuple):
    """SQL and its values by name: None, int, str, bytes, or a list of str."""

    sql: str
    values: dict[str, Any]


Work = Generator[Statement, Rows, T]
"""Yields statements whose rows it needs."""


@dataclass(slots=True)
class Transaction:
    """What a piece of work writes with. `touched` collects the uids that listeners hear of after the commit."""

    now_ms: int
    caller: Caller = field(default_factory=current_caller)
    """For whom, as the audit log says it."""
    touched: set[str] = field(default_factory=set[str])
    pending: list[Statement] = field(default_factory=list[Statement])
    """Run in order before the next statement that is asked for its rows, and at the end."""

    def write(self, sql: str, **values: Any) -> None:
        """A statement whose rows nobody needs."""
        self.pending.append(Statement(sql, values))


def ask(sql: str, **values: Any) -> Work[Rows]:
    """All rows of a statement."""
    return (yield Statement(sql, values))


def ask_one(sql: str, **values: Any) -> Work[Row | None]:
    """The first row."""
    rows = yield Statement(sql, values)
    return rows[0] if rows else None
