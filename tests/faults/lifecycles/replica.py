"""One gateway of several: its loops, which can be frozen and killed at any moment."""

import asyncio
import contextvars
import inspect
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from faults.lifecycles.engine import SimEngine
from faults.lifecycles.receiver import Failed, Refused, SimReceiver
from faults.lifecycles.virtual import SkewedClock, VirtualLoop
from tunegate.control.courier import Courier
from tunegate.control.manifest import VerifyManifest
from tunegate.control.outbound import Outbound
from tunegate.control.outbox import Outbox
from tunegate.control.reconciler import Reconciler
from tunegate.control.sealer import Sealer
from tunegate.control.settings import ControlSettings, WebhookSettings
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.launcher import EngineUnavailable

OWNER: contextvars.ContextVar["Replica | None"] = contextvars.ContextVar("owner", default=None)
SETTINGS = ControlSettings(grace_s=20.0, lease_s=10.0)
WEBHOOKS = WebhookSettings(schedule_s=(5.0,) * 60, replay_window_s=0.0)
READS = ("get_", "find_", "list_", "read_", "known_", "pending_", "queue_", "counts", "dead_")


def task_factory(loop: Any, work: Any, **options: Any) -> asyncio.Task[Any]:
    """Tasks belong to the replica that began them, so that all of them can die with it."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    context: contextvars.Context | None = options.get("context")
    replica = OWNER.get() if context is None else context.get(OWNER)
    if replica is not None:
        replica.tasks.add(task)
        task.add_done_callback(replica.tasks.discard)
    return task


class Replica:
    """`freeze` is SIGSTOP (it ends by itself), `kill` is SIGKILL."""

    def __init__(
        self,
        name: str,
        *,
        loop: VirtualLoop,
        chance: random.Random,
        store: JobStore,
        engine: SimEngine,
        receiver: SimReceiver,
        sealer: Sealer,
        verify: VerifyManifest,
        folder: Path,
        trouble: float,
    ) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self.name = name
        self._loop = loop
        self._chance = chance
        self._frozen_until_s = 0.0
        self._trouble = trouble
        self._incarnation = 0
        self._unsubscribe: list[Callable[[], None]] = []
        self._parts = (store, engine, receiver, sealer, verify, folder)

    async def start(self) -> None:
        """A new process."""
        store, engine, receiver, sealer, verify, folder = self._parts
        self._incarnation += 1
        owner = f"{self.name}-{self._incarnation}"
        skew_ms = self._chance.randint(-600_000, 600_000)
        clock = SkewedClock(self._loop, skew_ms, self.thaw)
        seen = cast("JobStore", _Behind(store, self, _no_store))
        common: dict[str, Any] = {"store": seen, "sealer": sealer, "clock": clock}
        reconciler = Reconciler(
            **common,
            launchers={"local": cast("SimEngine", _Behind(engine, self, _no_engine))},
            settings=SETTINGS,
            webhooks=WEBHOOKS,
            verify_manifest=verify,
            state_dir=folder,
            gateway_url="http://127.0.0.1:8080",
            owner=owner,
        )
        courier = Courier(
            **common,
            outbound=Outbound(client=receiver, refused=Refused, failed=Failed),
            settings=WEBHOOKS,
            signer=None,
            chance=self._chance.random,
        )
        outbox = Outbox(store=seen, courier=courier, settings=WEBHOOKS, clock=clock, owner=owner)
        token = OWNER.set(self)
        try:
            await reconciler.start()
            await outbox.start()
        finally:
            OWNER.reset(token)

    def kill(self) -> None:
        """At whatever await each of its tasks stands."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        for task in sorted(self.tasks, key=lambda t: t.get_name()):
            task.cancel()
        self.tasks.clear()
        self._frozen_until_s = 0.0

    def freeze(self, seconds: float) -> None:
        self._frozen_until_s = self._loop.now_s + seconds

    def freeze_sometimes(self) -> None:
        """In the middle of a call, where it hurts most."""
        if self.happens(0.002):
            self.freeze(self._chance.uniform(1, 60))

    async def thaw(self) -> None:
        while self._loop.now_s < self._frozen_until_s:  # noqa: ASYNC110 - it may be frozen again meanwhile
            await asyncio.sleep(self._frozen_until_s - self._loop.now_s)

    def happens(self, probability: float) -> bool:
        return self._chance.random() < probability * self._trouble

    async def pause(self) -> None:
        """Others get their turn now and then."""
        if self._chance.random() < 0.4:
            await asyncio.sleep(0.02 * self._chance.random())

    def subscribed(self, unsubscribe: Callable[[], None]) -> None:
        self._unsubscribe.append(unsubscribe)


def _no_store() -> Exception:
    return TunegateError("unavailable")


def _no_engine() -> Exception:
    return EngineUnavailable("connection refused")


class _Behind:
    """What a replica sees of store and engine: slow, sometimes out of reach, and not at all while it is frozen."""

    def __init__(self, real: Any, replica: Replica, error: Callable[[], Exception]) -> None:
        self._real = real
        self._replica = replica
        self._error = error

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name == "on_event":
            return self._on_event
        if not inspect.iscoroutinefunction(real):
            return real

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._replica.pause()
            self._replica.freeze_sometimes()
            await self._replica.thaw()
            if self._replica.happens(0.004):
                raise self._error()
            answer = await real(*args, **kwargs)
            await self._replica.pause()
            await self._replica.thaw()
            if not name.startswith(READS) and self._replica.happens(0.004):
                raise self._error()  # it was committed all the same
            return answer

        return call

    def _on_event(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """A hint may get lost."""

        def sometimes(uid: str) -> None:
            if not self._replica.happens(0.2):
                listener(uid)

        unsubscribe = self._real.on_event(sometimes)
        self._replica.subscribed(unsubscribe)
        return lambda: None
