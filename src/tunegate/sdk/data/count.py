"""What files of training data hold, counted without a tokenizer."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.request import DatasetFormat
from tunegate.sdk.data.formats import read_rows
from tunegate.sdk.data.rows import (
    ChatRow,
    CompletionRow,
    PreferenceRow,
    Row,
    TextRow,
    TrainOn,
    normalise,
)
from tunegate.sdk.data.source import RowError, SourceRow
from tunegate.sdk.data.text import RowInvalid

_NAMED = 5


class DataFile(NamedTuple):
    """A file of this machine; `name` is what messages call it."""

    path: Path
    name: str
    declared: DatasetFormat


class RowCount(Wire):
    """Counts over all files. `shapes` says how many rows are chats, texts and so on; the first bad rows are named."""

    rows: int = 0
    bad_rows: int = 0
    reasons: list[str] = []
    duplicates: int = 0
    """Rows that stand earlier already, word for word."""
    shapes: dict[str, int] = {}


def count_rows(files: Iterable[DataFile], train_on: TrainOn = "completions") -> RowCount:
    """Read all files to their end. Raises OSError."""
    shapes: Counter[str] = Counter()
    bad: list[str] = []
    seen: set[bytes] = set()
    for file in files:
        for item in read_rows(file.path, name=file.name, declared=file.declared):
            row = _row(item, file.name, train_on)
            if isinstance(row, str):
                bad.append(row if len(bad) < _NAMED else "")
                continue
            shapes[_KINDS[type(row)]] += 1
            seen.add(hashlib.blake2b(msgspec.json.encode(row), digest_size=8).digest())
    rows = shapes.total()
    return RowCount(
        rows=rows + len(bad),
        bad_rows=len(bad),
        reasons=bad[:_NAMED],
        duplicates=rows - len(seen),
        shapes=dict(shapes),
    )


def _row(item: SourceRow | RowError, file: str, train_on: TrainOn) -> Row | str:
    """The row, or why it can't be trained on."""
    if isinstance(item, RowError):
        return str(item)
    try:
        return normalise(item.value, train_on=train_on)
    except RowInvalid as error:
        return str(RowError(file=file, line=item.line, reason=str(error)))


_KINDS: dict[type[Row], str] = {
    TextRow: "text",
    CompletionRow: "prompt and completion",
    ChatRow: "chat",
    PreferenceRow: "preference",
}
