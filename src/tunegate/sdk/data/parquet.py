"""Parquet through pyarrow: a few rows at a time, known columns only, plain types only."""

from typing import TYPE_CHECKING, Any, BinaryIO

from tunegate.sdk.data.rows import COLUMNS, unknown_shape
from tunegate.sdk.data.source import RowError, Rows, SourceRow

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 256


def read_parquet(stream: BinaryIO, name: str) -> Rows:
    """The rows of a whole parquet file; `line` is the row's number from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        file = pq.ParquetFile(stream)
        schema = file.schema_arrow
        wanted = [column for column in schema.names if column in COLUMNS]
        if not wanted:
            yield RowError(file=name, line=0, reason=unknown_shape(schema.names))
            return
        for column in wanted:
            if _has_extension(schema.field(column).type):
                reason = f"column {column} has an extension type; only plain types are read"
                yield RowError(file=name, line=0, reason=reason)
                return
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            for value in batch.to_pylist():
                number += 1
                yield SourceRow(line=number, value=value)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        reason = "not a readable parquet file" if number == 0 else "the parquet file is damaged"
        yield RowError(file=name, line=number, reason=reason)


def _has_extension(kind: "pa.DataType | Any") -> bool:
    """An extension type names code to run; it may hide inside lists and structs."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return True
    return any(_has_extension(kind.field(index).type) for index in range(kind.num_fields))
