"""`TokenStore`: all examples of one split as flat arrays, about 5 bytes per token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenStore:
    """Example `i` is the tokens [offsets[i], offsets[i+1]).

    `mask` is True where a token is a target of the loss; the first token of an example never is, for nothing
    predicts it. `files`, `file` and `line` lead an example back to its row; `weights[source[i]]` says how often
    an epoch sees it.
    """

    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    file: NDArray[np.int32]
    line: NDArray[np.int64]
    source: NDArray[np.int32]
    files: tuple[str, ...] = ()
    weights: tuple[float, ...] = (1.0,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return np.diff(self.offsets)

    @property
    def tokens(self) -> int:
        return len(self.ids)

    @property
    def supervised_tokens(self) -> int:
        """Tokens that count for the loss."""
        return int(self.mask.sum())

    def where(self, example: int) -> str:
        """`FILE:LINE` of the row that an example came from."""
        return f"{self.files[self.file[example]]}:{self.line[example]}"

    def take(self, examples: NDArray[np.int64]) -> Self:
        """A store of these examples, in this order."""
        lengths = self.lengths[examples]
        offsets = cumulative(lengths)
        tokens = np.repeat(self.offsets[examples] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return type(self)(
            ids=self.ids[tokens],
            mask=self.mask[tokens],
            offsets=offsets,
            file=self.file[examples],
            line=self.line[examples],
            source=self.source[examples],
            files=self.files,
            weights=self.weights,
        )


class StoreBuilder:
    """Collects examples; `build` joins them into a TokenStore."""

    def __init__(self, files: tuple[str, ...], weights: tuple[float, ...]) -> None:
        self._files = files
        self._weights = weights
        self._ids: list[NDArray[np.int32]] = []
        self._masks: list[NDArray[np.bool_]] = []
        self._origins: list[tuple[int, int, int]] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(
        self,
        ids: NDArray[np.int32],
        mask: NDArray[np.bool_],
        *,
        file: int,
        line: int,
        source: int,
    ) -> None:
        """One example; `file` and `source` index the store's `files` and `weights`."""
        self._ids.append(ids)
        self._masks.append(mask)
        self._origins.append((file, line, source))

    def build(self) -> TokenStore:
        origins = np.array(self._origins, dtype=np.int64).reshape(-1, 3)
        return TokenStore(
            ids=np.concatenate([np.zeros(0, np.int32), *self._ids]),
            mask=np.concatenate([np.zeros(0, np.bool_), *self._masks]),
            offsets=cumulative([len(ids) for ids in self._ids]),
            file=origins[:, 0].astype(np.int32),
            line=origins[:, 1],
            source=origins[:, 2].astype(np.int32),
            files=self._files,
            weights=self._weights,
        )


def cumulative(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """The borders of things of these lengths laid end to end: one more than there are things, from 0."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))
