"""The key file: a ring of keys that wrap data keys, and the secret that digests are keyed with.

JSON, `{key id: base64 of 32 bytes, …, "digest": base64 of 64 bytes}`, newest key first; created where there is none.
A ring from before the digest secret stood in it has digests that hang on its last, oldest key.
"""

import base64
import re
import secrets
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tunegate.contract.base import Wire

KEY_BYTES = 32
DIGEST = "digest"
_STAMP = "%Y%m%dT%H%M%S"
_STAMPED = re.compile(r"(\d{8}T\d{6})-[0-9a-f]{8}")


class KeyFileUnsafe(Exception):
    """The key file can't be trusted with secrets. The message says what to change."""


class KeyRing(Wire):
    """`keys` by id in the file's order; `digest_key` and `token_key` stay the same through all rotations."""

    keys: dict[str, bytes]
    digest_key: bytes
    token_key: bytes

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.keys)})"

    @property
    def active(self) -> str:
        """The key that wraps: the first one."""
        return next(iter(self.keys))

    @property
    def staged(self) -> str | None:
        """A key made after the active one and put behind it: every gateway can open with it before one wraps with it."""
        following = list(self.keys)[1:2]
        return following[0] if following and _made(following[0]) > _made(self.active) else None


def new_ring(now: datetime) -> KeyRing:
    """One key and a digest secret of its own."""
    keys = {new_id(now): secrets.token_bytes(KEY_BYTES)}
    return KeyRing(
        keys=keys,
        digest_key=secrets.token_bytes(KEY_BYTES),
        token_key=secrets.token_bytes(KEY_BYTES),
    )


def staging(ring: KeyRing, now: datetime) -> KeyRing:
    """With a new key behind the active one. A key that is staged already stays."""
    if ring.staged is not None:
        return ring
    fresh = {_later_id(ring, now): secrets.token_bytes(KEY_BYTES)}
    first = {ring.active: ring.keys[ring.active]}
    return msgspec.structs.replace(ring, keys=first | fresh | ring.keys)


def rotating(ring: KeyRing, now: datetime) -> KeyRing:
    """With the staged key in front, or else with a new one."""
    ring = staging(ring, now)
    chosen = ring.staged or ring.active
    return msgspec.structs.replace(ring, keys={chosen: ring.keys[chosen]} | ring.keys)


def retiring(ring: KeyRing, key_id: str) -> KeyRing:
    """Without a key; what it wrapped can never be opened again. Raises ValueError for the active one and unknown ones."""
    if key_id == ring.active or key_id not in ring.keys:
        raise ValueError(key_id)
    rest = {name: key for name, key in ring.keys.items() if name != key_id}
    return msgspec.structs.replace(ring, keys=rest)


def new_id(now: datetime) -> str:
    """Ids tell when their key was made, to the second."""
    return f"{now.astimezone(UTC).strftime(_STAMP)}-{secrets.token_hex(4)}"


def _later_id(ring: KeyRing, now: datetime) -> str:
    """Later than the active one's, whatever the clock says: that is how a staged key is known."""
    made = _made(ring.active)
    if now.astimezone(UTC).strftime(_STAMP) > made:
        return new_id(now)
    return new_id(datetime.strptime(made, _STAMP).replace(tzinfo=UTC) + timedelta(seconds=1))


def _made(key_id: str) -> str:
    match = _STAMPED.fullmatch(key_id)
    return match[1] if match else ""


def decode_ring(data: bytes) -> KeyRing:
    """Raises ValueError."""
    texts = msgspec.json.decode(data, type=dict[str, str])
    values = {name: base64.b64decode(text, validate=True) for name, text in texts.items()}
    digest = values.pop(DIGEST, None)
    if not values or any(len(key) != KEY_BYTES or "\0" in name for name, key in values.items()):
        raise ValueError
    if digest is None:
        oldest = values[next(reversed(values))]
        digest = derive(oldest, DIGEST) + derive(oldest, "token")
    if len(digest) != 2 * KEY_BYTES:
        raise ValueError
    return KeyRing(keys=values, digest_key=digest[:KEY_BYTES], token_key=digest[KEY_BYTES:])


def encode_ring(ring: KeyRing) -> bytes:
    """What stands in the file."""
    values = ring.keys | {DIGEST: ring.digest_key + ring.token_key}
    return msgspec.json.encode(
        {name: base64.b64encode(value).decode() for name, value in values.items()}
    )


def derive(key: bytes, purpose: str) -> bytes:
    """A key for one purpose; it tells nothing of the key that it comes from."""
    info = f"tunegate {purpose}".encode()
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(key)
