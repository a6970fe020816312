"""Many rows by few statements. Each step of a statement gives up the interpreter and has to wait to get it back, behind
all that the event loop does: row by row, a group of sixty-four creates waited some four hundred times.
"""

from functools import lru_cache
from itertools import chain
from typing import Any

import apsw

Row = tuple[Any, ...]
_MOST = 64
"""Rows of one statement. Groups are cut into powers of two, so that few different statements are prepared."""


class Insert:
    """`statement` has `{rows}` where the rows stand, each of them a `row` of placeholders."""

    def __init__(self, statement: str, row: str) -> None:
        self._statement = statement
        self._row = row

    def run(self, db: apsw.Connection, rows: list[Row]) -> None:
        """Insert them in their order."""
        done = 0
        while done < len(rows):
            size = min(_MOST, 1 << ((len(rows) - done).bit_length() - 1))
            some = rows[done : done + size]
            db.execute(_sql(self._statement, self._row, size), tuple(chain.from_iterable(some)))
            done += size


@lru_cache(maxsize=128)
def _sql(statement: str, row: str, count: int) -> str:
    return statement.format(rows=", ".join([row] * count))
