"""Parquet through pyarrow: a few rows at a time, known columns only, plain types only."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from tunegate.sdk.data.rows import COLUMNS, unknown_shape
from tunegate.sdk.data.source import MAX_ROW_BYTES, RowError, Rows, SourceRow
from tunegate.sdk.data.unzip import FREE_BYTES, MAX_RATIO

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 32
"""A dictionary may hold one huge value that every row points at: these rows at most are spelt out at once."""
_BUFFER_BYTES = 2**20


def read_parquet(stream: BinaryIO, name: str) -> Rows:
    """The rows of a whole parquet file; `line` is the row's number from 1. The first error ends it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        # With a buffer the pages of a column are read one by one, not all of a row group.
        file = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        schema = file.schema_arrow
        wanted = [column for column in schema.names if column in COLUMNS]
        if problem := _problem(schema, wanted) or _bomb(file.metadata, wanted):
            yield RowError(file=name, line=0, reason=problem)
            return
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            for value in _rows(batch):
                number += 1
                if value is None:
                    reason = f"the row is longer than {MAX_ROW_BYTES:,} bytes"
                    yield RowError(file=name, line=number, reason=reason)
                    return
                yield SourceRow(line=number, value=value)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        reason = "not a readable parquet file" if number == 0 else "the parquet file is damaged"
        yield RowError(file=name, line=number, reason=reason)


def _problem(schema: "pa.Schema", wanted: Sequence[str]) -> str | None:
    if not wanted:
        return unknown_shape(schema.names)
    for column in wanted:
        if _has_extension(schema.field(column).type):
            return f"column {column} has an extension type; only plain types are read"
    return None


def _bomb(metadata: Any, wanted: Sequence[str]) -> str | None:
    """What the file says of its row groups, held against the limit that gzip files have."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        columns = map(group.column, range(group.num_columns))
        read = [one for one in columns if one.path_in_schema.partition(".")[0] in wanted]
        packed = sum(one.total_compressed_size for one in read)
        unpacked = sum(one.total_uncompressed_size for one in read)
        if unpacked > max(FREE_BYTES, packed * MAX_RATIO):
            return f"the parquet file unpacks to more than {MAX_RATIO} times its size"
    return None


def _rows(batch: "pa.RecordBatch") -> Iterator[dict[str, Any] | None]:
    """The rows as Python values; None for one that is too large."""
    if batch.nbytes <= MAX_ROW_BYTES:
        yield from batch.to_pylist()
        return
    for place in range(batch.num_rows):
        row = batch.slice(place, 1)
        yield row.to_pylist()[0] if row.nbytes <= MAX_ROW_BYTES else None


def _has_extension(kind: "pa.DataType | Any") -> bool:
    """An extension type names code to run; it may hide inside lists and structs."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return True
    return any(_has_extension(kind.field(index).type) for index in range(kind.num_fields))
