"""Secrets at rest: AES-256-GCM under a data key per job, bound to the place where they stand.

The data key is wrapped by a key of the ring in the key file, or by a key service, and stands beside the fields that it
seals, as a field of its own. Without that row the others are noise, wherever copies of them lie.

Values of the first format were sealed with a key of the ring itself; they are still opened.
"""

import hmac
import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunegate.contract.base import Wire
from tunegate.control.key_file import read_ring, stamp
from tunegate.control.keyring import KEY_BYTES, KeyFileUnsafe, KeyRing, derive
from tunegate.control.randomness import random_bytes
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.key_service import KeyService, KeyServiceUnavailable, WrongKey

KEY = "#key"
"""The field that holds a job's wrapped data key."""
NONCE_BYTES = 12
SERVICE = "service:"
"""What ids of a key service's keys begin with."""
FORMAT = b"\x02"
"""The first byte of what this release seals; values of the first format begin with the id of a key."""
_encode = msgspec.json.Encoder().encode
log = logging.getLogger(__name__)


class SealContext(Wire):
    """Where a sealed value belongs. Moved to another tenant, job or field it can't be opened."""

    tenant: str
    uid: str
    field: str


class SealBroken(Exception):
    """The bytes were changed or moved, or their key is gone. The message names the place, never the content."""

    def __init__(self, context: SealContext) -> None:
        self.context = context
        super().__init__(f"the sealed field {context.field!r} of job {context.uid} can't be opened")


class Sealer:
    """Wraps with the ring's active key, or the service's where there is one, and opens with any.

    The key file is read again when it has changed, so that a rotation needs no restart.
    """

    def __init__(self, key_file: Path, service: KeyService | None = None) -> None:
        """Raises KeyFileUnsafe."""
        self._file = key_file
        self._service = service
        self._take(read_ring(key_file))
        self._stamp = stamp(key_file)

    async def seal(
        self, tenant: str, uid: str, values: Mapping[str, bytes], key: bytes | None = None
    ) -> dict[str, bytes]:
        """The fields of a job, sealed, with its `KEY` where none was given. Raises SealBroken, unavailable."""
        place = SealContext(tenant=tenant, uid=uid, field=KEY)
        sealed: dict[str, bytes] = {}
        if key is None:
            data_key, sealed[KEY] = await self._new_key(place)
        else:
            data_key = await self._unwrap(place, key)
        cipher = AESGCM(data_key)
        for field, plain in values.items():
            nonce = random_bytes(NONCE_BYTES)
            bound = _bound_to(tenant, uid, field)
            sealed[field] = FORMAT + nonce + cipher.encrypt(nonce, plain, bound)
        return sealed

    async def open(self, context: SealContext, sealed: bytes, key: bytes | None) -> bytes:
        """The value of a field; `key` is the job's `KEY`. Raises SealBroken, unavailable."""
        if not sealed.startswith(FORMAT):
            return self._open_first_format(context, sealed)
        if key is None:
            raise SealBroken(context)
        data_key = await self._unwrap(msgspec.structs.replace(context, field=KEY), key)
        return _decrypt(AESGCM(data_key), sealed[len(FORMAT) :], _bound(context), context)

    async def rewrapped(self, context: SealContext, key: bytes) -> bytes:
        """A job's `KEY`, wrapped by the key that wraps now. Raises SealBroken, unavailable."""
        return await self._wrap(context, await self._unwrap(context, key))

    @property
    def active(self) -> str:
        """The id of the key that wraps now."""
        if self._service is not None:
            return SERVICE + self._service.key_id
        self._read_again()
        return self._ring.active

    def digest(self, data: bytes) -> bytes:
        """A keyed fingerprint, 32 bytes: equal data can be recognised, but not guessed by a reader of the database."""
        return hmac.digest(self._digest_key, data, "sha256")

    def token_hash(self, token: str) -> bytes:
        """What the database keeps of a token, 32 bytes."""
        return hmac.digest(self._token_key, token.encode(), "sha256")

    async def _new_key(self, place: SealContext) -> tuple[bytes, bytes]:
        if self._service is None:
            plain = random_bytes(KEY_BYTES)
            return plain, await self._wrap(place, plain)
        try:
            made = await self._service.new_key(_service_place(place))
        except KeyServiceUnavailable as error:
            raise _down(error) from error
        return made.plain, _row(SERVICE + self._service.key_id, made.wrapped)

    async def _wrap(self, place: SealContext, plain: bytes) -> bytes:
        if self._service is not None:
            try:
                wrapped = await self._service.wrap(plain, _service_place(place))
            except KeyServiceUnavailable as error:
                raise _down(error) from error
            return _row(SERVICE + self._service.key_id, wrapped)
        key_id = self.active
        nonce = random_bytes(NONCE_BYTES)
        sealed = self._wrapping[key_id].encrypt(nonce, plain, _bound(place, key_id))
        return _row(key_id, nonce + sealed)

    async def _unwrap(self, place: SealContext, row: bytes) -> bytes:
        if not row.startswith(FORMAT):
            raise SealBroken(place)
        key_id, wrapped = key_id_of(row), row.partition(b"\0")[2]
        if key_id.startswith(SERVICE) and self._service is not None:
            asked = key_id.removeprefix(SERVICE)
            try:
                return await self._service.unwrap(wrapped, _service_place(place), asked)
            except KeyServiceUnavailable as error:
                raise _down(error) from error
            except WrongKey:
                raise SealBroken(place) from None
        if key_id not in self._wrapping:
            self._read_again()  # another gateway may have rotated
        cipher = self._wrapping.get(key_id)
        if cipher is None:
            raise SealBroken(place)
        return _decrypt(cipher, wrapped, _bound(place, key_id), place)

    def _open_first_format(self, context: SealContext, sealed: bytes) -> bytes:
        key_id, rest = key_id_of(sealed), sealed.partition(b"\0")[2]
        key = self._ring.keys.get(key_id)
        if key is None:
            raise SealBroken(context)
        parts = [context.tenant, context.uid, context.field, key_id]
        return _decrypt(AESGCM(derive(key, "seal")), rest, msgspec.json.encode(parts), context)

    def _read_again(self) -> None:
        """What was good stays in use when the file can't be read any more; the operator hears of it."""
        try:
            now = stamp(self._file)
            if now == self._stamp:
                return
            self._stamp = now
            self._take(read_ring(self._file))
        except (OSError, KeyFileUnsafe) as error:
            log.error("The key file could not be read again: %s", error)  # noqa: TRY400

    def _take(self, ring: KeyRing) -> None:
        self._ring = ring
        self._wrapping = {name: AESGCM(derive(key, "wrap")) for name, key in ring.keys.items()}
        self._digest_key, self._token_key = ring.digest_key, ring.token_key


def key_id_of(sealed: bytes) -> str:
    """The key that wrapped a `KEY` row, or sealed a value of the first format."""
    return sealed.removeprefix(FORMAT).partition(b"\0")[0].decode(errors="replace")


def is_first_format(sealed: bytes) -> bool:
    """Whether a value was sealed by a key of the ring itself."""
    return not sealed.startswith(FORMAT)


def _row(key_id: str, wrapped: bytes) -> bytes:
    return FORMAT + key_id.encode() + b"\0" + wrapped


def _bound(context: SealContext, *more: str) -> bytes:
    return _bound_to(context.tenant, context.uid, context.field, *more)


def _bound_to(*parts: str) -> bytes:
    # JSON keeps the parts apart: no tenant can be named so that it looks like another tenant and job.
    return _encode((FORMAT[0], *parts))


def _decrypt(cipher: AESGCM, rest: bytes, bound: bytes, context: SealContext) -> bytes:
    try:
        return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
        raise SealBroken(context) from None


def _service_place(context: SealContext) -> dict[str, str]:
    return {"tunegate:tenant": context.tenant, "tunegate:job": context.uid}


def _down(error: KeyServiceUnavailable) -> TunegateError:
    return TunegateError(
        "unavailable", f"The key service does not answer: {error}", retry_after_s=5
    )
