"""`DataReport`: what became of every row; it goes into training.json."""

from tunegate.contract.base import Wire


class FileReport(Wire):
    """One file as it was read."""

    name: str
    size_bytes: int
    sha256: str
    rows: int


class SourceReport(Wire):
    """One entry of `datasets`."""

    source: str
    split: str | None
    weight: float
    files: list[FileReport]


class DataReport(Wire):
    """Counts over all sources. `dropped` is by reason: over_length, nothing_to_learn. Lengths in tokens."""

    rows: int
    train_examples: int
    eval_examples: int
    dropped: dict[str, int]
    truncated: int
    duplicates: int
    tokens: int
    supervised_tokens: int
    longest: int
    sources: list[SourceReport]
    notes: list[str] = []
    """Sentences for the job's `notes`."""
