"""Which examples are trained on: the rules for length and for rows with nothing to learn, and the count of it all."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tunegate.contract.training import TuningPlan
from tunegate.sdk.data import RowError
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.cache import TokenCache
from tunegate.trainer.data.tally import Tally
from tunegate.trainer.data.tokenise import Tokens

NAMED_ROWS = 5
"""Bad or dropped rows that a message names."""


class Origin(NamedTuple):
    """Where an example comes from: indices of its source and file, and its line."""

    source: int
    file: int
    line: int


class Admission:
    """Fills the files of a split and remembers what was refused. Bad rows end the job, but not before five are known."""

    def __init__(self, files: tuple[str, ...], tuning: TuningPlan, cache: TokenCache) -> None:
        self._train = cache.train
        self._eval = cache.eval
        self.dropped = Counter(cache.tally.dropped)
        self.dropped_rows = {reason: [*rows] for reason, rows in cache.tally.dropped_rows.items()}
        self.truncated = cache.tally.truncated
        self._files = files
        self._limit = tuning.max_sequence_length
        self._over_length = tuning.over_length
        self._bad: list[RowError] = []

    @property
    def clean(self) -> bool:
        """Whether no row was bad so far."""
        return not self._bad

    def admit(self, texts: Sequence[Tokens], origin: Origin, *, evaluation: bool) -> None:
        """Take, shorten or drop one example: a text, or the two of a pair, each as long as the limit allows.

        Raises TunegateError data_invalid at the fifth bad row.
        """
        longest = max(len(text.ids) for text in texts)
        if longest > self._limit:
            if self._over_length == "error":
                reason = f"{longest:,} tokens are more than max_sequence_length {self._limit:,}"
                self.refuse(
                    RowError(file=self._files[origin.file], line=origin.line, reason=reason)
                )
                return
            if self._over_length == "drop":
                self._drop("over_length", origin)
                return
            texts = [Tokens(ids[: self._limit], mask[: self._limit]) for ids, mask in texts]
            self.truncated += 1
        if not _teaches(texts):
            self._drop("nothing_to_learn", origin)
            return
        split = self._eval if evaluation else self._train
        ids, mask = (np.concatenate(part) for part in zip(*texts, strict=True))
        chosen = len(texts[0].ids) if len(texts) > 1 else 0
        split.add(
            ids, mask, file=origin.file, line=origin.line, source=origin.source, chosen=chosen
        )

    def refuse(self, error: RowError) -> None:
        """Remember a bad row. Raises TunegateError data_invalid at the fifth."""
        self._bad.append(error)
        if len(self._bad) >= NAMED_ROWS:
            self.finish()

    def finish(self) -> None:
        """Raises TunegateError: data_invalid if a row was bad, data_empty if nothing is left to train on."""
        if self._bad:
            raise TunegateError("data_invalid", "; ".join(map(str, self._bad)))
        if self._train.rows:
            return
        if not self.dropped:
            raise TunegateError("data_empty", "the data sets hold no row for training")
        tally = Tally(
            dropped=self.dropped, dropped_rows=self.dropped_rows, truncated=self.truncated
        )
        reasons = "; ".join(tally.notes(self._limit))
        raise TunegateError("data_empty", f"no row is left to train on: {reasons}")

    def _drop(self, reason: str, origin: Origin) -> None:
        self.dropped[reason] += 1
        rows = self.dropped_rows.setdefault(reason, [])
        if len(rows) < NAMED_ROWS:
            rows.append(f"{self._files[origin.file]}:{origin.line}")


def _teaches(texts: Sequence[Tokens]) -> bool:
    """Whether every text has a token that counts, and those of a pair still differ."""
    if not all(text.mask.any() for text in texts):
        return False
    return len(texts) == 1 or not np.array_equal(texts[0].ids, texts[1].ids)
