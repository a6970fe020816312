"""CSV with a header line (RFC 4180: commas, double quotes, line breaks allowed inside quotes)."""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from tunegate.sdk.data.rows import COLUMNS
from tunegate.sdk.data.source import MAX_ROW_BYTES, RowError, Rows, SourceRow, read_lines


class _Refused(Exception):
    def __init__(self, error: RowError) -> None:
        self.error = error


def read_csv(stream: BinaryIO, name: str, *, cut: bool) -> Rows:
    """One row per record; an empty cell counts as absent. The first error ends the file."""
    csv.field_size_limit(MAX_ROW_BYTES)  # of the whole process; Python's own default is 128 kB
    reader = csv.reader(_text_lines(stream, name, cut=cut), strict=True)
    line = 1
    try:
        header = next(reader, None)
        if header is None:
            return
        if problem := _header_problem(header):
            yield RowError(file=name, line=1, reason=problem)
            return
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                if len(cells) != len(header):
                    reason = f"{len(cells)} cells where the header has {len(header)}"
                    yield RowError(file=name, line=line, reason=reason)
                    return
                value = {key: cell for key, cell in zip(header, cells, strict=True) if cell}
                yield SourceRow(line=line, value=value)
            line = reader.line_num + 1
    except csv.Error as error:
        if not (cut and "unexpected end of data" in str(error)):
            yield RowError(file=name, line=line, reason=f"not CSV: {error}")
    except _Refused as refused:
        yield refused.error


def _header_problem(header: list[str]) -> str | None:
    if len(set(header)) < len(header):
        return "a column name stands twice in the header"
    if not COLUMNS.intersection(header):
        return (
            "the first line names no column that is known, is the header missing? Known: "
            + ", ".join(sorted(COLUMNS))
        )
    return None


def _text_lines(stream: BinaryIO, name: str, *, cut: bool) -> Iterator[str]:
    for item in read_lines(stream, name, cut=cut):
        if isinstance(item, RowError):
            raise _Refused(item)
        number, offset, line = item
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            reason = f"not UTF-8 (the line starts at byte {offset})"
            raise _Refused(RowError(file=name, line=number, reason=reason)) from error
