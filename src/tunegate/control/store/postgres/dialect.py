"""How PostgreSQL runs a piece of work: what need not be answered at once shares a round trip with what follows."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

from psycopg import AsyncConnection, AsyncCursor

from tunegate.control.store.sql.statement import Row, Statement, Work

T = TypeVar("T")
Connection = AsyncConnection[Row]
_LIST = re.compile(r"\bIN :(\w+)")
_VALUE = re.compile(r"(?<!:):(\w+)")
_INDEX = re.compile(r"\bINDEXED BY \w+")


@lru_cache(maxsize=512)
def translate(sql: str) -> bytes:
    """The statement in psycopg's words."""
    text = _LIST.sub(r"= ANY(:\1)", _INDEX.sub("", sql.replace("%", "%%")))
    return _VALUE.sub(r"%(\1)s", text).encode()


async def run(connection: Connection, work: Work[T], pending: list[Statement]) -> T:
    """The result of a work. What it left in `pending` last is not run yet: it goes with the COMMIT."""
    try:
        statement = next(work)
        while True:
            cursor = await send(connection, [*pending, statement])
            pending.clear()
            statement = work.send(await cursor.fetchall())
    except StopIteration as end:
        return end.value


async def send(connection: Connection, statements: Sequence[Statement]) -> AsyncCursor[Row]:
    """Run them in order, in one round trip; the cursor of the last one."""
    if len(statements) == 1:
        return await _execute(connection, statements[0])
    async with connection.pipeline():
        cursors = [await _execute(connection, statement) for statement in statements]
    return cursors[-1]


async def _execute(connection: Connection, statement: Statement) -> AsyncCursor[Row]:
    values: dict[str, Any] | None = statement.values or None
    return await connection.execute(translate(statement.sql), values)
