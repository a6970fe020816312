"""A row as it stands in a file, or what is wrong there. Reasons never hold a row's content."""

import codecs
from collections.abc import Iterator
from typing import Any, BinaryIO

from tunegate.contract.base import Wire

MAX_ROW_BYTES = 32 * 2**20
"""A row larger than this is refused, so that memory stays bounded whatever a file holds."""
BOM = codecs.BOM_UTF8


class SourceRow(Wire):
    """One row. `line` counts from 1: the line where it starts, in parquet the number of the row."""

    line: int
    value: dict[str, Any]


class RowError(Wire):
    """Why a row can't be read; `line` 0 means the file as a whole."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.reason}"
            if self.line
            else f"{self.file}: {self.reason}"
        )


Rows = Iterator[SourceRow | RowError]
"""What every reader gives: rows, and an error in the place of each bad one."""


def read_lines(
    stream: BinaryIO, name: str, *, cut: bool
) -> Iterator[tuple[int, int, bytes] | RowError]:
    """(line number, byte offset, bytes with the line's end) for each line; ends with an error at a huge one.

    `cut`: the stream is the beginning of a longer one, so a last line without its end is left out.
    """
    offset = 0
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES:
            yield RowError(
                file=name,
                line=number,
                reason=f"the line that starts at byte {offset} is longer than {MAX_ROW_BYTES:,} bytes",
            )
            return
        if cut and not line.endswith(b"\n"):
            return
        start, offset = offset, offset + len(line)
        yield number, start, line.removeprefix(BOM) if number == 1 else line
