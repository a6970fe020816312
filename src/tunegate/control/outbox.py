"""The worker that empties the outbox: strictly in order per job and channel, at least once."""

import logging
from typing import Any

from tunegate.control.courier import Courier
from tunegate.control.records import FINAL, Delivery, JobRecord, NewEvent
from tunegate.control.retrying import Accepted, Bury, Later, Outcome, Retry
from tunegate.control.settings import WebhookSettings
from tunegate.control.store.protocol import Change, JobStore, PutOff
from tunegate.control.work import WorkLoop
from tunegate.sdk.clock import Clock

SLOTS = 256
"""Deliveries that are begun at once, to all receivers together."""
QUICK_S = 0.5
"""A receiver that takes longer than this to answer holds up no other."""
MOST = 2048
"""Deliveries in flight at once, slow ones included; each holds a connection."""
IDLE_S = 0.25
"""How often due rows are looked for without a hint."""
_GUARDED_TRIES = 8
logger = logging.getLogger(__name__)


class Outbox:
    """Leases rows, has the courier carry them, and records what came of it."""

    def __init__(
        self,
        *,
        store: JobStore,
        courier: Courier,
        settings: WebhookSettings,
        clock: Clock,
        owner: str,
    ) -> None:
        """`owner` is a name that no other process has."""
        self._store = store
        self._courier = courier
        self._settings = settings
        self._owner = owner
        # A lease outlives the wait for a slot and the try itself, but not by much: it holds up the job after a crash.
        self._patience_s = settings.timeout_s / 3
        self._lease_ms = int(1.5 * settings.timeout_s * 1000)
        self._work = WorkLoop(
            name="outbox",
            lease=self.lease,
            handle=self.deliver,
            clock=clock,
            slots=SLOTS,
            pause_s=IDLE_S,
            quick_s=QUICK_S,
            most=MOST,
        )
        self._unsubscribe = lambda: None

    async def start(self) -> None:
        self._unsubscribe = self._store.on_event(lambda _uid: self._work.hint())
        self._work.start()

    async def stop(self) -> None:
        """Finish the deliveries in flight; what waits is in the store."""
        self._unsubscribe()
        await self._work.stop()
        await self._courier.close()

    def trouble(self) -> str | None:
        """One sentence when the loop has died."""
        return None if self._work.is_alive else "The loop that delivers webhooks is not running."

    async def lease(self, limit: int) -> list[Delivery]:
        """Take rows that are due. Those whose receivers are known to be busy or out of reach wait on, all together."""
        while True:
            leased = await self._store.lease_deliveries(self._owner, limit, self._lease_ms)
            ready, waiting = self._courier.sort(leased)
            if waiting:
                await self._store.put_off(waiting)
            if ready or not waiting:
                return ready

    async def deliver(self, delivery: Delivery) -> None:
        """Send one row and record the outcome. In trouble with the store the row waits for its lease to run out."""
        try:
            job = await self._store.get_by_uid(delivery.uid)
            # A process that was frozen finds its lease gone: the row is another one's by now.
            if job is not None and self._store.now_ms() < delivery.lease_until_ms:
                outcome = await self._courier.carry(delivery, job, self._patience_s)
                await self._record(delivery, job, outcome)
        except Exception:
            logger.exception("delivery %s: its outcome is not recorded", delivery.delivery_id)

    async def _record(self, delivery: Delivery, job: JobRecord, outcome: Outcome) -> None:
        match outcome:
            case Accepted():
                await self._store.delivered(delivery.delivery_id, delivery.epoch)
            case Retry():
                await self._store.postpone(
                    delivery.delivery_id, outcome.at_ms, outcome.note, delivery.epoch
                )
            case Bury():
                await self._bury(delivery, outcome)
            case Later():
                row = PutOff(delivery.delivery_id, outcome.at_ms, delivery.epoch)
                await self._store.put_off([row])
                return
        if job.state in FINAL:
            await self._store.wake(
                delivery.uid
            )  # the last delivery frees the callbacks to be destroyed

    async def _bury(self, delivery: Delivery, outcome: Bury) -> None:
        logger.warning("delivery %s is given up: %s", delivery.delivery_id, outcome.note)
        if outcome.refusal is not None:
            name = "webhook" if delivery.channel == "webhook" else "status stream"
            await self._note(delivery, f"The {name} address was refused: {outcome.refusal}")
        if outcome.gone:
            await self._switch_off(delivery)
        if outcome.deleted and self._settings.not_found_cancels:
            await self._cancel(delivery.uid)
        await self._store.bury(delivery.delivery_id, outcome.note, delivery.epoch)

    async def _switch_off(self, delivery: Delivery) -> None:
        """The receiver said 410: what waits is given up, and nothing new is written for it."""
        channel = "webhook" if delivery.channel == "webhook" else "stream"
        text = f"The receiver of the {channel} answered 410: nothing more is sent to it"
        await self._note(delivery, text, **{f"has_{channel}": False})

    async def _note(self, delivery: Delivery, text: str, **fields: Any) -> None:
        for _ in range(_GUARDED_TRIES):
            job = await self._store.get_by_uid(delivery.uid)
            if job is None or text in job.notes:
                return
            event = NewEvent(
                type="job.note",
                status=job.status,
                phase=job.phase,
                detail=text,
                attempt=job.attempt,
            )
            if await self._change(job, {"notes": [*job.notes, text], **fields}, [event]):
                return

    async def _cancel(self, uid: str) -> None:
        for _ in range(_GUARDED_TRIES):
            job = await self._store.get_by_uid(uid)
            if job is None or job.state in FINAL or job.desired == "stop":
                return
            stop = {
                "desired": "stop",
                "stop_reason": "cancel",
                "detail": "Cancelled: the receiver of the webhooks has deleted the job",
            }
            if await self._change(job, stop, []):
                await self._store.wake(uid)
                return

    async def _change(self, job: JobRecord, fields: dict[str, Any], events: list[NewEvent]) -> bool:
        change = Change(uid=job.uid, version=job.version, fields=fields, events=events)
        return await self._store.apply(change) is not None
