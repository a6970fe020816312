"""What of a tokenizer a model's numbers hang on, as two hashes."""

import hashlib
from typing import TYPE_CHECKING

import msgspec

from tunegate.contract.base import Wire

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE = "Ünïcode 漢字 \U0001f642, 3.14159\n\n\tdef f(x):  return x  # done <|im_end|>"
"""Text that normalisers, pre-tokenisers and control tokens treat each in its way."""


class TokenizerIdentity(Wire):
    """SHA-256 of the vocabulary with how it is used, and of the chat template (None: there is none)."""

    tokenizer_sha256: str
    chat_template_sha256: str | None


def identity_of(tokenizer: "PreTrainedTokenizerBase") -> TokenizerIdentity:
    """The same for two tokenizers that make the same tokens of the same text."""
    ends = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "unk")}
    used = (sorted(tokenizer.get_vocab().items()), ends, tokenizer.encode(PROBE))
    template = tokenizer.chat_template
    return TokenizerIdentity(
        tokenizer_sha256=_sha256(used),
        chat_template_sha256=None if template is None else _sha256(template),
    )


def _sha256(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
