"""Signatures of webhooks after the Standard Webhooks specification: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_SHARED, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_SHARED_BYTES = range(24, 65)
_SEED_BYTES = 32
_PRIVATE_BYTES = frozenset({_SEED_BYTES, 64})
"""An Ed25519 key is its seed, or the seed with the public key behind it, as some libraries write it."""

Sign = Callable[[bytes], str]


class SigningSecretInvalid(Exception):
    """The signing secret can't be used. The message says why, never the secret."""


class Signer:
    """Signs with every key it has, so that receivers can be moved from an old key to a new one."""

    def __init__(self, secrets: str) -> None:
        """`secrets` holds one or several keys, apart by whitespace: `whsec_<base64>` is shared with the receivers,
        `whsk_<base64>` is a private Ed25519 key of which they need only the public half.

        Raises SigningSecretInvalid.
        """
        self.public_keys: list[str] = []
        """The public halves, `whpk_<base64>`, for receivers."""
        self._keys = [self._read(word) for word in secrets.split()]
        if not self._keys:
            raise SigningSecretInvalid("the signing secret is empty")

    def sign(self, webhook_id: str, timestamp_s: int, body: bytes) -> str:
        """The `webhook-signature` header: one signature for each key, apart by a space."""
        signed = f"{webhook_id}.{timestamp_s}.".encode() + body
        return " ".join(sign(signed) for sign in self._keys)

    def _read(self, word: str) -> Sign:
        if word.startswith(_SHARED):
            return _shared(_decoded(word.removeprefix(_SHARED)))
        if word.startswith(_PRIVATE):
            key = _private_key(_decoded(word.removeprefix(_PRIVATE)))
            self.public_keys.append(_public_half(key))
            return lambda data: f"v1a,{base64.b64encode(key.sign(data)).decode()}"
        raise SigningSecretInvalid(f"a signing secret must begin with {_SHARED} or {_PRIVATE}")


def new_shared_key() -> str:
    """A fresh `whsec_…`."""
    return _SHARED + base64.b64encode(secrets.token_bytes(32)).decode()


def new_key_pair() -> tuple[str, str]:
    """A fresh `whsk_…` and its `whpk_…`."""
    key = Ed25519PrivateKey.generate()
    return _PRIVATE + base64.b64encode(key.private_bytes_raw()).decode(), _public_half(key)


def _shared(key: bytes) -> Sign:
    if len(key) not in _SHARED_BYTES:
        raise SigningSecretInvalid("a shared signing secret must have 24 to 64 bytes")

    def sign(data: bytes) -> str:
        mac = hmac.new(key, data, hashlib.sha256).digest()
        return f"v1,{base64.b64encode(mac).decode()}"

    return sign


def _private_key(data: bytes) -> Ed25519PrivateKey:
    if len(data) not in _PRIVATE_BYTES:
        raise SigningSecretInvalid("a private signing key must have 32 or 64 bytes")
    key = Ed25519PrivateKey.from_private_bytes(data[:_SEED_BYTES])
    if len(data) > _SEED_BYTES and data[_SEED_BYTES:] != _public_bytes(key):
        raise SigningSecretInvalid("the halves of a private signing key do not belong together")
    return key


def _public_half(key: Ed25519PrivateKey) -> str:
    return _PUBLIC + base64.b64encode(_public_bytes(key)).decode()


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SigningSecretInvalid("a signing secret must be base64") from None
