"""Secrets at rest: AES-256-GCM bound to the place where they stand, with keys in a file outside the database."""

import base64
import hmac
import os
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tunegate.contract.base import Wire

KEY_BYTES = 32
NONCE_BYTES = 12


class SealContext(Wire):
    """Where a sealed value belongs. Moved to another tenant, job or field it can't be opened."""

    tenant: str
    uid: str
    field: str


class SealBroken(Exception):
    """The bytes were changed or moved, or their key is gone. The message names the place, never the content."""


class KeyFileUnsafe(Exception):
    """The key file can't be trusted with secrets. The message says what to change."""


class Sealer:
    """Seals with the newest key of the ring and opens with any.

    The key file is JSON, `{key id: base64 of 32 bytes}`, newest first; it is created where there is none. To rotate, put
    a new key in front. Digests hang on the last, oldest key, so that a rotation does not change them.
    """

    def __init__(self, key_file: Path) -> None:
        """Raises KeyFileUnsafe."""
        ring = _read_ring(key_file)
        self._newest = next(iter(ring))
        self._ciphers = {key_id: AESGCM(_derive(key, "seal")) for key_id, key in ring.items()}
        oldest = ring[next(reversed(ring))]
        self._digest_key = _derive(oldest, "digest")
        self._token_key = _derive(oldest, "token")

    def seal(self, context: SealContext, plain: bytes) -> bytes:
        """Key id, a zero byte, nonce, ciphertext and tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        key_id = self._newest
        sealed = self._ciphers[key_id].encrypt(nonce, plain, _bound_to(context, key_id))
        return key_id.encode() + b"\0" + nonce + sealed

    def open(self, context: SealContext, sealed: bytes) -> bytes:
        """Raises SealBroken."""
        name, _, rest = sealed.partition(b"\0")
        key_id = name.decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        broken = SealBroken(
            f"the sealed field {context.field!r} of job {context.uid} can't be opened"
        )
        if cipher is None or len(rest) < NONCE_BYTES:
            raise broken
        try:
            return cipher.decrypt(
                rest[:NONCE_BYTES], rest[NONCE_BYTES:], _bound_to(context, key_id)
            )
        except InvalidTag:
            raise broken from None

    def digest(self, data: bytes) -> bytes:
        """A keyed fingerprint, 32 bytes: equal data can be recognised, but not guessed by a reader of the database."""
        return _hmac(self._digest_key, data)

    def token_hash(self, token: str) -> bytes:
        """What the database keeps of a token, 32 bytes."""
        return _hmac(self._token_key, token.encode())


def _bound_to(context: SealContext, key_id: str) -> bytes:
    # JSON keeps the parts apart: no tenant can be named so that it looks like another tenant and job.
    return msgspec.json.encode([context.tenant, context.uid, context.field, key_id])


def _derive(key: bytes, purpose: str) -> bytes:
    info = f"tunegate {purpose}".encode()
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(key)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _read_ring(path: Path) -> dict[str, bytes]:
    if not path.exists():
        _create(path)
    if path.stat().st_mode & 0o077:
        raise KeyFileUnsafe(f"{path} can be read by others; set its mode to 0600.")
    try:
        ring = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        keys = {name: base64.b64decode(text, validate=True) for name, text in ring.items()}
    except ValueError:
        keys = {}
    if not keys or any(len(key) != KEY_BYTES or "\0" in name for name, key in keys.items()):
        raise KeyFileUnsafe(f"{path} is no key ring; restore it from a backup.") from None
    return keys


def _create(path: Path) -> None:
    """Write aside, sync, then link: the file is there whole or not at all, and never replaces another."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    ring = {secrets.token_hex(4): base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(ring))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(aside)
        except FileExistsError:  # another process was faster; its keys count
            return
    finally:
        aside.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
