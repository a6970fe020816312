"""One try of one delivery: whom to tell, a free slot there, the sending, and what its result means."""

import asyncio
import logging
from collections.abc import Callable

from tunegate.control.endpoints import Busy, Endpoints
from tunegate.control.outbound import Outbound, Reply
from tunegate.control.records import Delivery, JobRecord
from tunegate.control.retrying import Accepted, Bury, Later, Outcome, Try, again, answered
from tunegate.control.sealed import SealedCallbacks, open_callbacks
from tunegate.control.sealer import Sealer
from tunegate.control.settings import WebhookSettings
from tunegate.control.signing import Signer
from tunegate.control.store.protocol import JobStore
from tunegate.control.streams import Streams, endpoint_of
from tunegate.control.webhooks import Webhooks
from tunegate.sdk.clock import Clock

logger = logging.getLogger(__name__)


class Courier:
    """`chance` gives a number in [0, 1) for the jitter of the waits."""

    def __init__(
        self,
        *,
        store: JobStore,
        sealer: Sealer,
        outbound: Outbound,
        settings: WebhookSettings,
        signer: Signer | None,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._outbound = outbound
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._webhooks = Webhooks(outbound.client, signer)
        self._streams = Streams(outbound.client, clock)
        self._endpoints = Endpoints(clock.monotonic_s)

    async def close(self) -> None:
        await self._streams.close()

    async def carry(self, delivery: Delivery, job: JobRecord, patience_s: float) -> Outcome:
        """What came of it. Later when the receiver has enough to do, or had no turn to give within `patience_s`."""
        callbacks = await open_callbacks(self._store, self._sealer, job)
        url = _address(callbacks, delivery)
        if callbacks is None or url is None or _is_switched_off(job, delivery):
            return Bury(note="nobody to tell any more")
        asked_s = self._clock.monotonic_s()
        try:
            async with self._endpoints.turn(endpoint_of(url)):
                if self._clock.monotonic_s() - asked_s > patience_s:
                    return Later(at_ms=self._store.now_ms())
                return await self._try(delivery, callbacks)
        except Busy as busy:
            return Later(at_ms=self._store.now_ms() + int(busy.delay_s * 1000))

    async def _try(self, delivery: Delivery, callbacks: SealedCallbacks) -> Outcome:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                reply = await self._send(delivery, callbacks)
        except self._outbound.refused as refusal:
            return Bury(note="address refused", refusal=str(refusal))
        except self._outbound.failed as failure:
            return again(await self._this(delivery), str(failure), self._settings)
        except TimeoutError:
            return again(await self._this(delivery), "no answer in time", self._settings)
        except Exception as error:  # noqa: BLE001 - its message could hold the address
            logger.error("delivery %s: %s", delivery.delivery_id, type(error).__name__)  # noqa: TRY400
            return again(await self._this(delivery), type(error).__name__, self._settings)
        if reply is None:
            return Accepted()
        after = reply.headers.get("retry-after")
        return answered(await self._this(delivery), reply.status, after, self._settings)

    async def _send(self, delivery: Delivery, callbacks: SealedCallbacks) -> Reply | None:
        if delivery.channel == "stream":
            return await self._streams.send(delivery, callbacks)
        return await self._webhooks.send(delivery, callbacks, self._clock.now_ms())

    async def _this(self, delivery: Delivery) -> Try:
        waiting = await self._store.pending_deliveries(delivery.uid, delivery.channel)
        return Try(
            delivery=delivery,
            now_ms=self._store.now_ms(),
            chance=self._chance(),
            overtaken=waiting > 1,
        )


def _is_switched_off(job: JobRecord, delivery: Delivery) -> bool:
    return not (job.has_stream if delivery.channel == "stream" else job.has_webhook)


def _address(callbacks: SealedCallbacks | None, delivery: Delivery) -> str | None:
    if callbacks is None:
        return None
    is_stream = delivery.channel == "stream"
    secret = callbacks.status_stream_url if is_stream else callbacks.webhook_url
    return secret.reveal() if secret is not None else None
