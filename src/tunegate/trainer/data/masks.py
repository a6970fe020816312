"""Which tokens share a character with the spans that count."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunegate.trainer.data.compiled import Span

Mask = NDArray[np.bool_]


def mask_by_offsets(offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> Mask:
    """True for tokens that overlap a span; `offsets` are the tokens' characters [start, end), in order."""
    mask = np.zeros(len(offsets), np.bool_)
    for start, end in spans:
        first = bisect_right(offsets, start, key=itemgetter(1))
        last = bisect_left(offsets, end, key=_first_character)
        mask[first:last] = True
    return mask


class ByteLengths:
    """The bytes of text behind every token of a byte-level tokenizer, so that offsets need not be asked for.

    Asking the tokenizer for offsets costs a third of the tokenising.
    """

    def __init__(self, core: Any) -> None:
        """`core` is a `tokenizers.Tokenizer`."""
        from tokenizers import decoders

        self.byte_level = isinstance(core.decoder, decoders.ByteLevel)
        self._normaliser = core.normalizer
        vocabulary: dict[str, int] = core.get_vocab(with_added_tokens=False)
        added = {i: token.content for i, token in core.get_added_tokens_decoder().items()}
        self._table = np.zeros(max([-1, *vocabulary.values(), *added]) + 1, np.int64)
        # Every character of a byte-level token stands for one byte; added tokens are plain text.
        self._table[list(vocabulary.values())] = [len(token) for token in vocabulary]
        self._table[list(added)] = [len(content.encode()) for content in added.values()]

    def masks(
        self,
        texts: Sequence[str],
        spans: Sequence[Sequence[Span] | None],
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
    ) -> tuple[Mask, list[int]]:
        """The mask of many texts' tokens at once, and the texts for which it is wrong.

        Text `i` is ids[offsets[i]:offsets[i+1]]; spans None: all of it counts. The mask is wrong where the tokens don't
        add up to the text, or might not stand for the same bytes.
        """
        ends = np.cumsum(self._table[ids])
        starts = ends - self._table[ids]
        edges: list[int] = np.concatenate((np.zeros(1, np.int64), ends))[offsets].tolist()
        wrong: list[int] = []
        borders: list[tuple[int, int]] = []
        for place, (text, wanted) in enumerate(zip(texts, spans, strict=True)):
            base, edge = edges[place : place + 2]
            if wanted is None:
                borders.append((base, edge))
            elif self._fits(text, edge - base):
                borders.extend((base + _bytes(text, a), base + _bytes(text, z)) for a, z in wanted)
            else:
                wrong.append(place)
        first, last = np.array(borders, np.int64).reshape(-1, 2).T
        steps = np.zeros(len(ids) + 1, np.int64)
        np.add.at(steps, np.searchsorted(ends, first, "right"), 1)
        np.add.at(steps, np.searchsorted(starts, last, "left"), -1)
        return np.cumsum(steps[:-1]) > 0, wrong

    def _fits(self, text: str, size: int) -> bool:
        if size != _bytes(text, len(text)):
            return False
        # A normaliser may have moved bytes about with the same sum.
        normaliser = self._normaliser
        return normaliser is None or text.isascii() or normaliser.normalize_str(text) == text


def _bytes(text: str, characters: int) -> int:
    """UTF-8 bytes of the first characters of a text."""
    return characters if text.isascii() else len(text[:characters].encode())


def _first_character(offset: tuple[int, int]) -> int:
    """Byte-level tokenizers may trim spaces off the offsets: a token of one space then has no width."""
    start, end = offset
    return start if start < end else start - 1
