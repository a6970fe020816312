"""The loop that drives every job: lease, look, decide, act, write. Level-triggered; nothing that matters is only in memory."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tunegate.control.acting import Actor
from tunegate.control.engines import Engines
from tunegate.control.held import Held
from tunegate.control.looking import Observer
from tunegate.control.mailbox import Mailbox
from tunegate.control.manifest import OpenJobStore, VerifyManifest
from tunegate.control.orphans import Orphans
from tunegate.control.records import JobRecord
from tunegate.control.sealer import Sealer
from tunegate.control.settings import ControlSettings, WebhookSettings
from tunegate.control.store.protocol import Change, JobStore
from tunegate.control.work import WorkLoop
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.launcher import Launcher

IDLE_S = 0.5
"""How often work is looked for without a hint (another replica's commits give none)."""
ORPHANS_S = 60.0
"""How often engines are searched for runs that nobody knows."""
_STEPS_MAX = 16
_BACK_OFF_MAX_S = 300.0
logger = logging.getLogger(__name__)


class Reconciler:
    """Several may work on one store: leases share out the jobs, and every write is guarded by epoch and version."""

    def __init__(
        self,
        *,
        store: JobStore,
        launchers: Mapping[str, Launcher],
        sealer: Sealer,
        settings: ControlSettings,
        webhooks: WebhookSettings,
        clock: Clock,
        verify_manifest: VerifyManifest,
        state_dir: Path,
        gateway_url: str,
        owner: str,
        open_output: OpenJobStore | None = None,
    ) -> None:
        """Bring the parts together.

        `gateway_url` is where trainers reach this gateway, `owner` a name that no other process has, `open_output` for
        launchers whose runs don't call back.
        """
        self._store = store
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._room = {name: one.capabilities.queue_depth for name, one in launchers.items()}
        engines = Engines(launchers)
        self._held = Held()
        mailbox = open_output and Mailbox(store=store, engines=engines, open_store=open_output)
        self._observer = Observer(store, engines, settings, webhooks.replay_window_s, mailbox)
        self._actor = Actor(
            store=store,
            engines=engines,
            sealer=sealer,
            webhooks=webhooks,
            verify_manifest=verify_manifest,
            state_dir=state_dir,
            gateway_url=gateway_url,
            may_act=lambda uid: self._held.may_act(uid, store.now_ms()),
        )
        self._orphans = Orphans(store, engines, settings)
        self._failures: dict[str, int] = {}
        self._work = WorkLoop(
            name="reconciler",
            lease=self.lease,
            handle=self.tend,
            clock=clock,
            slots=settings.workers,
            pause_s=IDLE_S,
        )
        self._side_tasks: list[asyncio.Task[None]] = []
        self._unsubscribe = lambda: None

    async def start(self) -> None:
        """Begin to work. The launchers must have been started."""
        self._unsubscribe = self._store.on_event(lambda _uid: self._work.hint())
        self._work.start()
        self._side_tasks = [
            asyncio.create_task(self._renew_leases(), name="lease renewal"),
            asyncio.create_task(self._hunt_orphans(), name="orphan hunt"),
        ]

    async def stop(self) -> None:
        """Finish the jobs in hand and let go; runs go on without us."""
        self._unsubscribe()
        await self._work.stop()
        for task in self._side_tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def trouble(self) -> str | None:
        """One sentence when a loop has died."""
        dead = not self._work.is_alive or any(task.done() for task in self._side_tasks)
        return "The loop that drives jobs is not running." if dead else None

    async def lease(self, limit: int) -> list[JobRecord]:
        """Take jobs that are due, and as many of those that wait to be launched as their engines will take soon."""
        lease_ms = int(self._settings.lease_s * 1000)
        return await self._store.lease_due(self._owner, limit, lease_ms, self._room)

    async def tend(self, job: JobRecord) -> None:
        """Look after one leased job until it can wait. An error of ours backs off this job alone."""
        self._held.take(job)
        try:
            await self._drive(job)
            self._failures.pop(job.uid, None)
        except Exception as error:
            logger.exception("job %s: could not be looked after", job.uid)
            await self._back_off(job, error)
        finally:
            self._held.drop(job.uid)

    async def _drive(self, job: JobRecord) -> None:
        current: JobRecord | None = job
        for _ in range(_STEPS_MAX):
            if current is None:
                return
            current = await self._actor.act(await self._observer.look(current))
        if current is not None:
            await self._release(current, self._store.now_ms())

    async def _back_off(self, job: JobRecord, error: Exception) -> None:
        failures = self._failures.get(job.uid, 0) + 1
        # Trouble of the store is none of the job's: once the store is back, the job shall not wait for minutes.
        if not (isinstance(error, TunegateError) and error.code == "unavailable"):
            self._failures[job.uid] = failures
        delay_s = min(2.0**failures, _BACK_OFF_MAX_S)
        try:
            current = await self._store.get_by_uid(job.uid)
            if current is not None and current.epoch == job.epoch:
                await self._release(current, self._store.now_ms() + int(delay_s * 1000))
        except Exception:
            logger.exception("job %s: its lease runs out by itself", job.uid)

    async def _release(self, job: JobRecord, due_ms: int) -> None:
        await self._store.apply(
            Change(
                uid=job.uid,
                version=job.version,
                epoch=job.epoch,
                fields={"due_ms": due_ms},
                releases_lease=True,
            )
        )

    async def _renew_leases(self) -> None:
        while True:
            await self._clock.sleep(self._settings.lease_s / 3)
            if uids := self._held.uids():
                lease_ms = int(self._settings.lease_s * 1000)
                until_ms = self._store.now_ms() + lease_ms
                try:
                    kept = await self._store.renew_leases(self._owner, uids, lease_ms)
                except Exception:
                    logger.exception("leases can't be renewed now")
                else:
                    self._held.renewed(uids, kept, until_ms)

    async def _hunt_orphans(self) -> None:
        while True:
            try:
                await self._orphans.sweep()
            except Exception:
                logger.exception("the hunt for orphans failed")
            await self._clock.sleep(ORPHANS_S)
