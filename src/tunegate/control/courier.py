"""One try of one delivery: whom to tell, a free slot there, the sending, and what its result means."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from tunegate.control.endpoints import Busy, Endpoints
from tunegate.control.outbound import Outbound, Reply
from tunegate.control.receivers import Receivers, address_of
from tunegate.control.records import Delivery, JobRecord
from tunegate.control.retrying import Accepted, Bury, Later, Outcome, Try, again, answered, is_old
from tunegate.control.sealed import SealedCallbacks, open_callbacks
from tunegate.control.sealer import Sealer
from tunegate.control.settings import WebhookSettings
from tunegate.control.signing import Signer
from tunegate.control.store.protocol import JobStore, PutOff
from tunegate.control.streams import Streams
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
        receivers: Receivers | None = None,
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
        self._receivers = receivers or Receivers()

    async def close(self) -> None:
        await self._streams.close()

    def sort(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[PutOff]]:
        """Those that may be carried now, and those that must wait, as far as that is known without a look at the job."""
        ready: list[Delivery] = []
        waiting: list[PutOff] = []
        ahead: Counter[Hashable] = Counter()
        now_ms = self._store.now_ms()
        for delivery in deliveries:
            endpoint = self._receivers.find(delivery.uid, delivery.channel)
            old = endpoint is None or is_old(delivery, now_ms, self._settings)
            delay_s = 0.0 if old else self._endpoints.delay_s(endpoint, ahead[endpoint])
            if delay_s:
                at_ms = now_ms + int(delay_s * 1000)
                waiting.append(PutOff(delivery.delivery_id, at_ms, delivery.epoch))
            else:
                ahead[endpoint] += 1
                ready.append(delivery)
        return ready, waiting

    async def carry(self, delivery: Delivery, job: JobRecord, patience_s: float) -> Outcome:
        """What came of it. Later when the receiver has enough to do, or had no turn to give within `patience_s`."""
        callbacks = await open_callbacks(self._store, self._sealer, job)
        url = address_of(callbacks, delivery.channel)
        if callbacks is None or url is None or _is_switched_off(job, delivery):
            return Bury(note="nobody to tell any more")
        endpoint = self._receivers.note(job.uid, delivery.channel, url)
        asked_s = self._clock.monotonic_s()
        try:
            async with self._endpoints.turn(endpoint):
                now_ms = self._store.now_ms()
                waited_s = self._clock.monotonic_s() - asked_s
                # Looked at last, and the try must end within the lease: two that send the same status at once, as after
                # one of them was frozen, could repeat it behind a newer one.
                latest_ms = delivery.lease_until_ms - int(self._settings.timeout_s * 1000)
                if waited_s > patience_s or now_ms > latest_ms:
                    return Later(at_ms=now_ms)
                return await self._try(delivery, callbacks, endpoint)
        except Busy as busy:
            now_ms = self._store.now_ms()
            if busy.unreachable and is_old(delivery, now_ms, self._settings):
                # So that it ends one day: with many that wait for the same receiver its own turn may never come.
                return again(await self._this(delivery), "not reachable", self._settings)
            return Later(at_ms=now_ms + int(busy.delay_s * 1000))

    async def _try(
        self, delivery: Delivery, callbacks: SealedCallbacks, endpoint: Hashable
    ) -> Outcome:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                reply = await self._send(delivery, callbacks)
            self._endpoints.reached(endpoint)
        except self._outbound.refused as refusal:
            return Bury(note="address refused", refusal=str(refusal))
        except self._outbound.unreachable as failure:
            self._endpoints.missed(endpoint)
            return again(await self._this(delivery), str(failure), self._settings)
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
