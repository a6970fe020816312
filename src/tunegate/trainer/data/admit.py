"""Which examples are trained on: the rules for length and for rows with nothing to learn, and the count of it all."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunegate.contract.training import TuningPlan
from tunegate.sdk.data import RowError
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.cache import TokenCache
from tunegate.trainer.data.tally import Tally
from tunegate.trainer.data.tokenise import TokenBatch
from tunegate.trainer.data.tokens import ROW, cumulative

NAMED_ROWS = 5
"""Bad or dropped rows that a message names."""


class Origin(NamedTuple):
    """Where examples come from: indices of their source and file, and the line of each."""

    source: int
    file: int
    lines: list[int]


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

    def admit(self, tokens: TokenBatch, texts: int, origin: Origin, *, evaluation: bool) -> None:
        """Take, shorten or drop examples of one or two `texts` (a pair), each text as long as the limit allows.

        Raises TunegateError data_invalid at the fifth bad row.
        """
        lengths = np.diff(tokens.offsets).reshape(-1, texts)
        taken = self._fitting(lengths.max(axis=1, initial=0), origin)
        lengths = np.minimum(lengths, self._limit)
        starts = tokens.offsets[:-1].reshape(-1, texts)
        counted = cumulative(tokens.mask)
        targets = counted[starts + lengths] - counted[starts]
        teaches = _teaches(tokens.ids, starts, lengths, targets)
        for place in np.flatnonzero(taken & ~teaches).tolist():
            self._drop("nothing_to_learn", origin, place)
        taken &= teaches
        rows = np.zeros(np.count_nonzero(taken), ROW)
        rows["length"] = lengths[taken].sum(axis=1)
        rows["targets"] = targets[taken].sum(axis=1)
        rows["line"] = np.array(origin.lines, np.int64)[taken]
        rows["file"], rows["source"] = origin.file, origin.source
        if texts > 1:
            rows["chosen"] = lengths[taken, 0]
        kept = _kept(tokens.offsets, np.where(taken[:, None], lengths, 0).ravel())
        split = self._eval if evaluation else self._train
        split.add(tokens.ids[kept], tokens.mask[kept], rows)

    def _fitting(self, longest: NDArray[np.int64], origin: Origin) -> NDArray[np.bool_]:
        """Which examples are not refused or dropped for their length."""
        over = longest > self._limit
        if self._over_length == "truncate":
            self.truncated += int(np.count_nonzero(over))
            return np.ones_like(over)
        for place in np.flatnonzero(over).tolist():
            if self._over_length == "drop":
                self._drop("over_length", origin, place)
                continue
            reason = f"{longest[place]:,} tokens are more than max_sequence_length {self._limit:,}"
            file, line = self._files[origin.file], origin.lines[place]
            self.refuse(RowError(file=file, line=line, reason=reason))
        return ~over

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

    def _drop(self, reason: str, origin: Origin, place: int) -> None:
        self.dropped[reason] += 1
        rows = self.dropped_rows.setdefault(reason, [])
        if len(rows) < NAMED_ROWS:
            rows.append(f"{self._files[origin.file]}:{origin.lines[place]}")


def _teaches(
    ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Of which examples every text has a token that counts, and the two of a pair still differ."""
    teaches: NDArray[np.bool_] = np.all(targets > 0, axis=1)
    if starts.shape[1] > 1:
        ends = starts + lengths
        for place in np.flatnonzero(teaches & (lengths[:, 0] == lengths[:, 1])).tolist():
            chosen, rejected = map(slice, starts[place], ends[place])
            teaches[place] = not np.array_equal(ids[chosen], ids[rejected])
    return teaches


def _kept(offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> Any:
    """An index of the first `lengths` tokens of each text."""
    if np.array_equal(lengths, np.diff(offsets)):
        return slice(None)
    shifts = offsets[:-1] - cumulative(lengths)[:-1]
    return np.repeat(shifts, lengths) + np.arange(lengths.sum())
