"""Examples → token ids and loss masks, many at once."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.render import Example
from tunegate.trainer.data.template import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Tokens(NamedTuple):
    """One example: ids, and True where a token counts for the loss."""

    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]


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
        self._begin = _begin_tokens(core)
        eos = tokenizer.eos_token_id
        self._end: list[int] = [eos] if isinstance(eos, int) else []

    def encode(self, examples: Sequence[Example]) -> list[Tokens]:
        """The tokens of each example. A token that lies partly inside a span counts; the first token never does."""
        texts = [example.text for example in examples]
        encodings = self._core.encode_batch(texts, add_special_tokens=False)
        return [
            self._tokens(example, encoding)
            for example, encoding in zip(examples, encodings, strict=True)
        ]

    def _tokens(self, example: Example, encoding: Any) -> Tokens:
        ids: list[int] = encoding.ids
        if example.spans is None:
            mask = np.ones(len(ids), np.bool_)
        else:
            mask = span_mask(encoding.offsets, example.spans)
        if example.bare:
            begin = [] if ids[: len(self._begin)] == self._begin else self._begin
            end = [] if ids[-1:] == self._end else self._end
            ids = [*begin, *ids, *end]
            mask = np.concatenate(
                (np.zeros(len(begin), np.bool_), mask, np.ones(len(end), np.bool_))
            )
        mask[:1] = False
        return Tokens(np.array(ids, np.int32), mask)


def span_mask(offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """True for tokens that share a character with a span; `offsets` are the tokens' characters [start, end), in order."""
    mask = np.zeros(len(offsets), np.bool_)
    for start, end in spans:
        first = bisect_right(offsets, start, key=itemgetter(1))
        last = bisect_left(offsets, end, key=_first_character)
        mask[first:last] = True
    return mask


def _first_character(offset: tuple[int, int]) -> int:
    """Byte-level tokenizers may trim spaces off the offsets: a token of one space then has no width."""
    start, end = offset
    return start if start < end else start - 1


def _begin_tokens(core: Any) -> list[int]:
    """The ids that the tokenizer puts before a text by itself (a begin token, or nothing)."""
    plain = core.encode("a", add_special_tokens=False).ids
    full = core.encode("a", add_special_tokens=True).ids
    for place in range(len(full) - len(plain) + 1):
        if full[place : place + len(plain)] == plain:
            return full[:place]
    return []
