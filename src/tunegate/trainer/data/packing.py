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
    """One forward pass: T tokens of one or more whole examples, without padding.

    `labels` are aligned with `input_ids` (not shifted): the output at position t-1 is scored against labels[t]. The
    first token of every example is -100, so one shift over the whole row never crosses an example's border.
    """

    input_ids: NDArray[np.int64]
    """[1, T]"""
    labels: NDArray[np.int64]
    """[1, T], -100 where a token does not count."""
    position_ids: NDArray[np.int64]
    """[1, T], from 0 in every example."""
    cu_seqlens: NDArray[np.int32]
    """[n+1]: example k is the tokens [cu_seqlens[k], cu_seqlens[k+1])."""
    example_ids: NDArray[np.int64]
    """[n]: indices into the TokenStore."""
    num_targets: int
    """How many labels count."""

    @property
    def num_tokens(self) -> int:
        return self.input_ids.shape[1]

    @property
    def max_length(self) -> int:
        """Tokens of the longest example."""
        return int(np.diff(self.cu_seqlens).max())


def pack(store: TokenStore, examples: Sequence[int] | NDArray[np.int64]) -> PackedBatch:
    """These examples, one after the other, as one row."""
    part = store.take(np.asarray(examples, dtype=np.int64))
    ids = part.ids.astype(np.int64)
    positions = np.arange(part.tokens) - np.repeat(part.offsets[:-1], part.lengths)
    return PackedBatch(
        input_ids=ids[None],
        labels=np.where(part.mask, ids, IGNORED)[None],
        position_ids=positions[None],
        cu_seqlens=part.offsets.astype(np.int32),
        example_ids=np.asarray(examples, dtype=np.int64),
        num_targets=part.supervised_tokens,
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
