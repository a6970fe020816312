"""Examples → token ids and loss masks, many at once."""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.compiled import Span
from tunegate.trainer.data.masks import ByteLengths, Mask, mask_by_offsets
from tunegate.trainer.data.render import Example
from tunegate.trainer.data.tokens import cumulative

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Spans = Sequence[Span] | None
"""What of a text counts; None: all of it."""


class TokenBatch(NamedTuple):
    """Many texts: text `i` is the tokens [offsets[i], offsets[i+1]); the mask is True where one counts for the loss."""

    ids: NDArray[np.int32]
    mask: Mask
    offsets: NDArray[np.int64]

    def each(self) -> Iterator[tuple[NDArray[np.int32], Mask]]:
        """Ids and mask of one text after the other."""
        for start, end in pairwise(self.offsets.tolist()):
            yield self.ids[start:end], self.mask[start:end]


class Tokeniser:
    """A tokenizer's fast core, without truncation or padding; special tokens are placed here."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Raises TunegateError model_invalid for a tokenizer that has no fast core."""
        core: Any = getattr(tokenizer, "backend_tokenizer", None)
        if core is None:
            raise TunegateError("model_invalid", "the tokenizer has no fast form (tokenizer.json)")
        if core.truncation or core.padding:
            # A copy, for the settings of the original are saved with the result.
            core = type(core).from_str(core.to_str())
            core.no_truncation()
            core.no_padding()
        self._core = core
        self._lengths = ByteLengths(core)
        self._by_length = self._lengths.byte_level
        self._begin = _begin_tokens(core)
        eos = tokenizer.eos_token_id
        self._end: list[int] = [eos] if isinstance(eos, int) else []

    def encode(self, examples: Sequence[Example]) -> TokenBatch:
        """The tokens of each example. A token that lies partly inside a span counts; the first token never does."""
        texts = [example.text for example in examples]
        spans = [example.spans for example in examples]
        tokens = (self._by_lengths if self._by_length else self._by_offsets)(texts, spans)
        bare = [place for place, example in enumerate(examples) if example.bare]
        tokens = self._completed(tokens, bare)
        starts = tokens.offsets[:-1]
        tokens.mask[starts[starts < tokens.offsets[1:]]] = False
        return tokens

    def _by_lengths(self, texts: Sequence[str], spans: Sequence[Spans]) -> TokenBatch:
        lists = [item.ids for item in self._core.encode_batch_fast(texts, add_special_tokens=False)]
        ids, offsets = _joined(lists)
        mask, wrong = self._lengths.masks(texts, spans, ids, offsets)
        if wrong:
            # Some tokenizers swallow spaces around their control tokens: then asking at once is cheaper.
            self._by_length = 2 * len(wrong) <= len(texts)
            again = self._by_offsets(
                [texts[place] for place in wrong], [spans[place] for place in wrong]
            )
            for place, (_, own) in zip(wrong, again.each(), strict=True):
                mask[offsets[place] : offsets[place + 1]] = own
        return TokenBatch(ids, mask, offsets)

    def _by_offsets(self, texts: Sequence[str], spans: Sequence[Spans]) -> TokenBatch:
        encodings = self._core.encode_batch(texts, add_special_tokens=False)
        ids, offsets = _joined([encoding.ids for encoding in encodings])
        mask = np.ones(len(ids), np.bool_)
        for place, (encoding, wanted) in enumerate(zip(encodings, spans, strict=True)):
            if wanted is not None:
                own = slice(offsets[place], offsets[place + 1])
                mask[own] = mask_by_offsets(encoding.offsets, wanted)
        return TokenBatch(ids, mask, offsets)

    def _completed(self, tokens: TokenBatch, bare: Sequence[int]) -> TokenBatch:
        """The begin and end tokens put around these texts where they don't stand there already."""
        ids, mask, offsets = tokens
        places: list[int] = []
        added: list[int] = []
        counted: list[bool] = []
        lengths = np.diff(offsets)
        for place in bare:
            start, end = offsets[place : place + 2].tolist()
            begin_there = ids[start:end][: len(self._begin)].tolist() == self._begin
            begin = [] if begin_there else self._begin
            last = [] if ids[start:end][-1:].tolist() == self._end else self._end
            places += [start] * len(begin) + [end] * len(last)
            added += begin + last
            counted += [False] * len(begin) + [True] * len(last)
            lengths[place] += len(begin) + len(last)
        if not added:
            return tokens
        return TokenBatch(
            np.insert(ids, places, added), np.insert(mask, places, counted), cumulative(lengths)
        )


def _joined(lists: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The ids of many texts end to end, and their borders."""
    offsets = cumulative([len(ids) for ids in lists])
    return np.fromiter(chain.from_iterable(lists), np.int32, int(offsets[-1])), offsets


def _begin_tokens(core: Any) -> list[int]:
    """The ids that the tokenizer puts before a text by itself (a begin token, or nothing)."""
    plain = core.encode("a", add_special_tokens=False).ids
    full = core.encode("a", add_special_tokens=True).ids
    for place in range(len(full) - len(plain) + 1):
        if full[place : place + len(plain)] == plain:
            return full[:place]
    return []
