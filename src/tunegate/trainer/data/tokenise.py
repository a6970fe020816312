"""Examples → token ids and loss masks, many at once."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.masks import ByteLengths, Mask, mask_by_offsets
from tunegate.trainer.data.render import Example
from tunegate.trainer.data.tokens import cumulative

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Tokens(NamedTuple):
    """One example: ids, and True where a token counts for the loss."""

    ids: NDArray[np.int32]
    mask: Mask


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
        self._begin = _begin_tokens(core)
        eos = tokenizer.eos_token_id
        self._end: list[int] = [eos] if isinstance(eos, int) else []

    def encode(self, examples: Sequence[Example]) -> list[Tokens]:
        """The tokens of each example. A token that lies partly inside a span counts; the first token never does."""
        texts = [example.text for example in examples]
        spans = [example.spans for example in examples]
        lists = [item.ids for item in self._core.encode_batch_fast(texts, add_special_tokens=False)]
        offsets = cumulative([len(ids) for ids in lists])
        ids = np.fromiter(chain.from_iterable(lists), np.int32, int(offsets[-1]))
        mask, wrong = self._lengths.masks(texts, spans, ids, offsets)
        encodings = self._core.encode_batch(
            [texts[place] for place in wrong], add_special_tokens=False
        )
        for place, encoding in zip(wrong, encodings, strict=True):
            own = slice(offsets[place], offsets[place + 1])
            mask[own] = mask_by_offsets(encoding.offsets, spans[place] or [])
        cuts = offsets[1:-1]
        parts = zip(examples, np.split(ids, cuts), np.split(mask, cuts), strict=True)
        return [self._finish(*part) for part in parts] if examples else []

    def _finish(self, example: Example, ids: NDArray[np.int32], mask: Mask) -> Tokens:
        if example.bare:
            begin = [] if ids[: len(self._begin)].tolist() == self._begin else self._begin
            end = [] if ids[-1:].tolist() == self._end else self._end
            ids = np.concatenate((begin, ids, end)).astype(np.int32)
            mask = np.concatenate((np.zeros(len(begin)), mask, np.ones(len(end)))).astype(np.bool_)
        mask[:1] = False
        return Tokens(ids, mask)


def _begin_tokens(core: Any) -> list[int]:
    """The ids that the tokenizer puts before a text by itself (a begin token, or nothing)."""
    plain = core.encode("a", add_special_tokens=False).ids
    full = core.encode("a", add_special_tokens=True).ids
    for place in range(len(full) - len(plain) + 1):
        if full[place : place + len(plain)] == plain:
            return full[:place]
    return []
