"""What of a job is kept sealed, and how it is written and read: the whole request, and whom to call back."""

from typing import Protocol

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import REDACTED, Secret, decode_hook, reveal_hook
from tunegate.control.records import JobRecord
from tunegate.control.sealer import KEY, SealBroken, SealContext, Sealer

REQUEST = "request"
"""The field that holds the request with its secrets; destroyed when the job ends."""
CALLBACKS = "callbacks"
"""The field that holds a `SealedCallbacks`; destroyed when the last delivery is done."""
_HIDDEN = REDACTED.encode()
ALL = (REQUEST, CALLBACKS, KEY)
"""With the data key, without which nothing that was sealed for the job can be opened, in whatever copy."""

_decoder = msgspec.json.Decoder(TrainRequest, dec_hook=decode_hook)


class SealedCallbacks(Wire):
    """Whom to tell of a job. All of it is sealed: an address may be a credential of its own."""

    webhook_url: Secret | None = None
    auth_header: Secret | None = None
    status_stream_url: Secret | None = None


class SealedFields(Protocol):
    """The part of a store that holds sealed fields."""

    async def get_sealed(self, uid: str, field: str) -> bytes | None: ...


def canonical(request: TrainRequest) -> bytes:
    """The request with its secrets in clear, the same bytes for the same values. For the sealer and its digest only."""
    return msgspec.json.encode(request, enc_hook=reveal_hook, order="sorted")


def lacks_nothing(redacted_copy: bytes, request: TrainRequest) -> bool:
    """Whether the redacted copy is the whole request: no secret stood in it."""
    return _HIDDEN not in redacted_copy and canonical(_decoder.decode(redacted_copy)) == canonical(
        request
    )


def callbacks_of(request: TrainRequest) -> SealedCallbacks | None:
    """None when nobody is to be told. A stream to the webhook's own address is left out: webhooks suffice there."""
    callbacks = request.callbacks
    webhook = callbacks.webhook_url if callbacks is not None else None
    stream = request.artifacts.status_stream_url
    if stream == webhook:
        stream = None
    if webhook is None and stream is None:
        return None
    return SealedCallbacks(
        webhook_url=Secret(webhook) if webhook else None,
        auth_header=callbacks.auth_header if callbacks is not None and webhook else None,
        status_stream_url=Secret(stream) if stream else None,
    )


async def seal_request(
    sealer: Sealer, tenant: str, uid: str, request: TrainRequest, encoded: bytes
) -> dict[str, bytes]:
    """The sealed fields of a job by name, under a data key of their own; `encoded` is the `canonical` request.

    Raises TunegateError unavailable.
    """
    plain = {REQUEST: encoded}
    callbacks = callbacks_of(request)
    if callbacks is not None:
        plain[CALLBACKS] = msgspec.json.encode(callbacks, enc_hook=reveal_hook)
    return await sealer.seal(tenant, uid, plain)


async def seal_callbacks(
    store: SealedFields, sealer: Sealer, job: JobRecord, callbacks: SealedCallbacks
) -> dict[str, bytes]:
    """Other callbacks of a job that is there, under the data key that it has."""
    plain = {CALLBACKS: msgspec.json.encode(callbacks, enc_hook=reveal_hook)}
    key = await store.get_sealed(job.uid, KEY)
    return await sealer.seal(job.tenant, job.uid, plain, key)


async def open_request(store: SealedFields, sealer: Sealer, job: JobRecord) -> TrainRequest | None:
    """The request with its secrets, or None once they are destroyed."""
    opened = await _open(store, sealer, job, REQUEST)
    return None if opened is None else _decoder.decode(opened)


async def open_callbacks(
    store: SealedFields, sealer: Sealer, job: JobRecord
) -> SealedCallbacks | None:
    """Whom to tell, or None when nobody is (any more)."""
    opened = await _open(store, sealer, job, CALLBACKS)
    if opened is None:
        return None
    return msgspec.json.decode(opened, type=SealedCallbacks, dec_hook=decode_hook)


async def _open(store: SealedFields, sealer: Sealer, job: JobRecord, field: str) -> bytes | None:
    """Field and key are read one after the other; a retry in between makes them a bad pair, so a second look is due."""
    place = SealContext(tenant=job.tenant, uid=job.uid, field=field)
    for last in (False, True):
        sealed = await store.get_sealed(job.uid, field)
        if sealed is None:
            return None
        try:
            return await sealer.open(place, sealed, await store.get_sealed(job.uid, KEY))
        except SealBroken:
            if last:
                raise
    return None


def redacted(job: JobRecord) -> TrainRequest:
    """The request as it may be shown; where a secret stood there is `***`."""
    return _decoder.decode(job.request)
