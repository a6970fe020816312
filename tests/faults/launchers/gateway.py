"""One gateway of two: the real reconciler over a launcher of its own, which can be killed at any await."""

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from faults.launchers.engine import Engine
from faults.lifecycles.replica import OWNER
from tunegate.control.manifest import OpenJobStore, VerifyManifest
from tunegate.control.reconciler import Reconciler
from tunegate.control.sealer import Sealer
from tunegate.control.settings import ControlSettings, WebhookSettings
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable, Launcher, LauncherContext

SETTINGS = ControlSettings(grace_s=20.0, lease_s=10.0)


class Gateway:
    """`kill` cancels every task that it began; what is on its way to the engine arrives all the same."""

    def __init__(
        self,
        name: str,
        *,
        engine: Engine,
        store: JobStore,
        sealer: Sealer,
        clock: Clock,
        folder: Path,
        verify: VerifyManifest,
        open_output: OpenJobStore,
    ) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self._name = name
        self._engine = engine
        self._common: dict[str, Any] = {"store": store, "sealer": sealer, "clock": clock}
        self._folder = folder
        self._verify = verify
        self._open_output = open_output
        self._launcher: Launcher | None = None
        self._lives = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """A new process."""
        self._lives += 1
        context = LauncherContext(state_dir=str(self._folder), clock=self._common["clock"])
        self._launcher = launcher = self._engine.launcher(context)
        token = OWNER.set(self)  # type: ignore[arg-type]
        try:
            await self._patiently(launcher)
            reconciler = Reconciler(
                **self._common,
                launchers={self._engine.name: launcher},
                settings=SETTINGS,
                webhooks=WebhookSettings(),
                verify_manifest=self._verify,
                state_dir=self._folder / self._name,
                gateway_url="http://127.0.0.1:8080",
                owner=f"{self._name}-{self._lives}",
                open_output=self._open_output,
            )
            await reconciler.start()
        finally:
            OWNER.reset(token)
        self._unsubscribe = reconciler._unsubscribe

    async def kill(self) -> None:
        self._unsubscribe()
        self._unsubscribe = lambda: None
        while self.tasks:  # one that just waits for another it cancelled swallows the first
            for task in list(self.tasks):
                task.cancel()
            await asyncio.sleep(0)
        launcher, self._launcher = self._launcher, None
        if launcher is not None:
            with suppress(EngineUnavailable):  # the kernel closes what a process had open
                await asyncio.get_running_loop().create_task(
                    launcher.close(), context=contextvars.Context()
                )

    async def _patiently(self, launcher: Launcher) -> None:
        while True:
            try:
                await launcher.start()
            except EngineUnavailable:
                await asyncio.sleep(1.0)
            else:
                return
