"""`TokenStore`: all examples of one split as flat arrays, about 5 bytes per token."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

ROW = np.dtype(
    [
        ("start", np.int64),
        ("length", np.int32),
        ("targets", np.int32),
        ("line", np.int64),
        ("file", np.int32),
        ("source", np.int32),
        ("digest", np.uint64),
        ("chosen", np.int32),
    ]
)
"""What is known of one example. `digest` is of its tokens: equal for duplicates. A preference pair is two texts, one
behind the other, and the first `chosen` tokens are the better one; 0 for what is one text.
"""


@dataclass(frozen=True, slots=True)
class TokenStore:
    """Example `i` is the tokens [start[i], start[i] + length[i]) of `ids` and `mask`, which may be mapped files.

    `mask` is True where a token is a target of the loss; the first token of a text never is, for nothing
    predicts it. `files`, `file` and `line` lead an example back to its row; `weights[source[i]]` says how often
    an epoch sees it.
    """

    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]
    rows: NDArray[Any]
    files: tuple[str, ...] = ()
    weights: tuple[float, ...] = (1.0,)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return self.rows["length"].astype(np.int64)

    @property
    def line(self) -> NDArray[np.int64]:
        return self.rows["line"]

    @property
    def source(self) -> NDArray[np.int32]:
        return self.rows["source"]

    @property
    def pairs(self) -> bool:
        """Whether the examples are preference pairs: all are, or none is."""
        return bool(self.rows["chosen"][:1].any())

    @property
    def tokens(self) -> int:
        return int(self.rows["length"].sum(dtype=np.int64))

    @property
    def supervised_tokens(self) -> int:
        """Tokens that count for the loss."""
        return int(self.rows["targets"].sum(dtype=np.int64))

    def where(self, example: int) -> str:
        """`FILE:LINE` of the row that an example came from."""
        return f"{self.files[self.rows['file'][example]]}:{self.line[example]}"

    def take(self, examples: NDArray[np.int64]) -> Self:
        """A store of these examples, in this order; the tokens are not copied."""
        return replace(self, rows=self.rows[examples])

    def read(self, examples: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Ids and mask of these examples, one after the other."""
        lengths = self.lengths[examples]
        shifts = self.rows["start"][examples] - cumulative(lengths)[:-1]
        places = np.repeat(shifts, lengths) + np.arange(lengths.sum())
        return self.ids[places], self.mask[places]

    def borders(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the texts of these examples begin, read one after the other, and where the last one ends."""
        ends = cumulative(self.lengths[examples])
        if not self.pairs:
            return ends
        middles = ends[:-1] + self.rows["chosen"][examples]
        return np.append(np.stack((ends[:-1], middles), axis=1).ravel(), ends[-1:])


def cumulative(lengths: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.int64]:
    """The borders of things of these lengths laid end to end: one more than there are things, from 0."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))
