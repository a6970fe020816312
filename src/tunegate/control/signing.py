"""Signatures of webhooks after the Standard Webhooks specification (HMAC-SHA256, scheme v1)."""

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


class SigningSecretInvalid(Exception):
    """The signing secret can't be used. The message says why, never the secret."""


class Signer:
    """Signs with every key it has, so that receivers can be moved from an old key to a new one."""

    def __init__(self, secrets: str) -> None:
        """`secrets` holds one or several `whsec_<base64>`, apart by whitespace. Raises SigningSecretInvalid."""
        self._keys = [_key(word) for word in secrets.split()]
        if not self._keys:
            raise SigningSecretInvalid("the signing secret is empty")

    def sign(self, webhook_id: str, timestamp_s: int, body: bytes) -> str:
        """The `webhook-signature` header: one `v1,<base64>` for each key, apart by a space."""
        signed = f"{webhook_id}.{timestamp_s}.".encode() + body
        return " ".join(f"v1,{_mac(key, signed)}" for key in self._keys)


def _key(word: str) -> bytes:
    if not word.startswith(_PREFIX):
        raise SigningSecretInvalid(f"a signing secret must begin with {_PREFIX}")
    try:
        key = base64.b64decode(word.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise SigningSecretInvalid("a signing secret must be base64") from None
    if len(key) not in _KEY_BYTES:
        raise SigningSecretInvalid("a signing secret must have 24 to 64 bytes")
    return key


def _mac(key: bytes, data: bytes) -> str:
    return base64.b64encode(hmac.new(key, data, hashlib.sha256).digest()).decode()
