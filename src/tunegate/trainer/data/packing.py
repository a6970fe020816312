"""Packing: several examples in one row of tokens, kept apart by positions and segment borders."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunegate.trainer.data.tokens import TokenStore

IGNORED = -100
"""The label of a token that does not count, as torch's cross entropy has it."""


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One forward pass: T tokens of one or more whole examples, without padding. A preference pair is two texts.

    `labels` are aligned with `input_ids` (not shifted): the output at position t-1 is scored against labels[t]. The
    first token of every text is -100, so one shift over the whole row never crosses a text's border.
    """

    input_ids: NDArray[np.int64]
    """[1, T]"""
    labels: NDArray[np.int64]
    """[1, T], -100 where a token does not count."""
    position_ids: NDArray[np.int64]
    """[1, T], from 0 in every text."""
    cu_seqlens: NDArray[np.int32]
    """[m+1]: text k is the tokens [cu_seqlens[k], cu_seqlens[k+1]); of pairs, chosen and rejected take turns."""
    example_ids: NDArray[np.int64]
    """[n]: indices into the TokenStore."""
    num_targets: int
    """How many labels count."""
    idle: bool = False
    """Run only so that all processes make equally many passes: it counts for nothing."""

    @property
    def num_tokens(self) -> int:
        return self.input_ids.shape[1]

    @property
    def max_length(self) -> int:
        """Tokens of the longest text."""
        return int(np.diff(self.cu_seqlens).max())

    @property
    def targets_by_text(self) -> NDArray[np.int64]:
        """[m]: how many labels of each text count."""
        counts = np.concatenate((np.zeros(1, np.int64), np.cumsum(self.labels[0] != IGNORED)))
        return np.diff(counts[self.cu_seqlens])


def pack(store: TokenStore, examples: Sequence[int] | NDArray[np.int64]) -> PackedBatch:
    """These examples, one after the other, as one row."""
    examples = np.asarray(examples, dtype=np.int64)
    tokens, mask = store.read(examples)
    ids = tokens.astype(np.int64)
    borders = store.borders(examples)
    positions = np.arange(len(ids)) - np.repeat(borders[:-1], np.diff(borders))
    return PackedBatch(
        input_ids=ids[None],
        labels=np.where(mask, ids, IGNORED)[None],
        position_ids=positions[None],
        cu_seqlens=borders.astype(np.int32),
        example_ids=examples,
        num_targets=int(np.count_nonzero(mask)),
    )


def first_fit_decreasing(lengths: NDArray[np.int64], capacity: int) -> list[list[int]]:
    """Sort things of these lengths into few bins; returns positions in `lengths`, each exactly once.

    A thing longer than the capacity gets a bin of its own. Ties keep their order, so the result is deterministic.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for position in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[position])
        for index, free in enumerate(room):
            if length <= free:
                bins[index].append(position)
                room[index] -= length
                break
        else:
            bins.append([position])
            room.append(capacity - length)
    return bins
