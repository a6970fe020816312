"""Training data as files and rows: no torch, no network; pyarrow only when a parquet file comes along."""

from tunegate.sdk.data.formats import FileKind, detect, read_rows, sample_rows
from tunegate.sdk.data.rows import (
    ChatRow,
    CompletionRow,
    Message,
    PreferenceRow,
    Row,
    RowInvalid,
    TextRow,
    normalise,
)
from tunegate.sdk.data.source import MAX_ROW_BYTES, RowError, SourceRow

__all__ = [
    "MAX_ROW_BYTES",
    "ChatRow",
    "CompletionRow",
    "FileKind",
    "Message",
    "PreferenceRow",
    "Row",
    "RowError",
    "RowInvalid",
    "SourceRow",
    "TextRow",
    "detect",
    "normalise",
    "read_rows",
    "sample_rows",
]
