"""How SQLite runs a piece of work: statement after statement, on the thread that it is in."""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import apsw

from tunegate.control.store.sql.statement import Statement, Work
from tunegate.control.store.sqlite.writer import Transaction

T = TypeVar("T")
_LOCKS = re.compile(r"\bFOR UPDATE( SKIP LOCKED)?")
_LIST = re.compile(r"\bIN :(\w+)")


@lru_cache(maxsize=512)
def translate(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement in SQLite's words, and the names of the lists in it. One writer needs no locks on rows."""
    lists = tuple(_LIST.findall(sql))
    return _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", _LOCKS.sub("", sql)), lists


def write(db: apsw.Connection, tx: Transaction, work: Work[T]) -> T:
    """Run a work that writes, with all that it leaves pending."""
    return _run(db, work, lambda: _flush(db, tx))


def read(db: apsw.Connection, work: Work[T]) -> T:
    """Run a work that only asks."""
    return _run(db, work, lambda: None)


def _run(db: apsw.Connection, work: Work[T], before: Callable[[], None]) -> T:
    try:
        statement = next(work)
        while True:
            before()
            statement = work.send(_execute(db, statement).fetchall())
    except StopIteration as end:
        before()
        return end.value


def _flush(db: apsw.Connection, tx: Transaction) -> None:
    for statement in tx.pending:
        _execute(db, statement)
    tx.pending.clear()


def _execute(db: apsw.Connection, statement: Statement) -> apsw.Cursor:
    sql, lists = translate(statement.sql)
    values = statement.values
    if lists:
        values = values | {name: json.dumps(values[name]) for name in lists}
    return db.execute(sql, values)
