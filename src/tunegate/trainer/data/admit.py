"""Which examples are trained on: the rules for length and for rows with nothing to learn, and the count of it all."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tunegate.contract.training import TuningPlan
from tunegate.sdk.data import RowError
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.tokenise import Tokens
from tunegate.trainer.data.tokens import StoreBuilder

NAMED_ROWS = 5
"""Bad or dropped rows that a message names."""


class Origin(NamedTuple):
    """Where an example comes from: indices of its source and file, and its line."""

    source: int
    file: int
    line: int


class Admission:
    """Fills a store per split and remembers what was refused. Bad rows end the job, but not before five are known."""

    def __init__(
        self, files: tuple[str, ...], weights: tuple[float, ...], tuning: TuningPlan
    ) -> None:
        self.train = StoreBuilder(files, weights)
        self.eval = StoreBuilder(files, weights)
        self.dropped: Counter[str] = Counter()
        self.truncated = 0
        self.duplicates = 0
        self._files = files
        self._limit = tuning.max_sequence_length
        self._over_length = tuning.over_length
        self._dropped_rows: dict[str, list[str]] = {}
        self._bad: list[RowError] = []
        self._seen: set[bytes] = set()

    def admit(self, tokens: Tokens, origin: Origin, *, evaluation: bool) -> None:
        """Take, shorten or drop one example. Raises TunegateError data_invalid at the fifth bad row."""
        ids, mask = tokens
        if len(ids) > self._limit:
            if self._over_length == "error":
                reason = f"{len(ids):,} tokens are more than max_sequence_length {self._limit:,}"
                self.refuse(
                    RowError(file=self._files[origin.file], line=origin.line, reason=reason)
                )
                return
            if self._over_length == "drop":
                self._drop("over_length", origin)
                return
            ids, mask = ids[: self._limit], mask[: self._limit]
            self.truncated += 1
        if not mask.any():
            self._drop("nothing_to_learn", origin)
            return
        digest = hashlib.blake2b(ids.tobytes(), digest_size=16).digest()
        self.duplicates += digest in self._seen
        self._seen.add(digest)
        store = self.eval if evaluation else self.train
        store.add(ids, mask, file=origin.file, line=origin.line, source=origin.source)

    def refuse(self, error: RowError) -> None:
        """Remember a bad row. Raises TunegateError data_invalid at the fifth."""
        self._bad.append(error)
        if len(self._bad) >= NAMED_ROWS:
            self.finish()

    def finish(self) -> None:
        """Raises TunegateError: data_invalid if a row was bad, data_empty if nothing is left to train on."""
        if self._bad:
            raise TunegateError("data_invalid", "; ".join(map(str, self._bad)))
        if len(self.train):
            return
        if not self.dropped:
            raise TunegateError("data_empty", "the data sets hold no row for training")
        raise TunegateError("data_empty", f"no row is left to train on: {'; '.join(self.notes())}")

    def notes(self) -> Iterator[str]:
        """What the client should know of rows that were changed or left out."""
        if self.truncated:
            yield f"{self.truncated} example(s) were cut to max_sequence_length {self._limit:,}"
        reasons = {
            "over_length": f"longer than max_sequence_length {self._limit:,}",
            "nothing_to_learn": f"no token to learn within max_sequence_length {self._limit:,}",
        }
        for reason, rows in self._dropped_rows.items():
            more = ", …" if self.dropped[reason] > len(rows) else ""
            yield f"{self.dropped[reason]} example(s) dropped, {reasons[reason]}: {', '.join(rows)}{more}"
        if self.duplicates:
            yield f"{self.duplicates} example(s) stand more than once in the data"

    def _drop(self, reason: str, origin: Origin) -> None:
        self.dropped[reason] += 1
        rows = self._dropped_rows.setdefault(reason, [])
        if len(rows) < NAMED_ROWS:
            rows.append(f"{self._files[origin.file]}:{origin.line}")
