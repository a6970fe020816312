"""Runs that an engine holds and no open attempt accounts for: seen twice, then stopped and removed.

Those of attempts that were given up go soon. Those that the store has no record of wait in quarantine, and are not
touched at all when they were launched in another life of the store: a database that was restored from an old backup must
not kill the jobs that it has forgotten.
"""

import logging
import math

from tunegate.control.engines import Engines, bounded
from tunegate.control.launching import RUN_PREFIX, is_of
from tunegate.control.settings import ControlSettings
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.launcher import OVER, EngineUnavailable

logger = logging.getLogger(__name__)


class Orphans:
    """Most come from a create that took effect after the attempt was given up. Their claim was refused: no work is lost."""

    def __init__(self, store: JobStore, engines: Engines, settings: ControlSettings) -> None:
        self._store = store
        self._engines = engines
        self._settings = settings
        self._first_seen_ms: dict[tuple[str, str], int] = {}

    async def sweep(self) -> None:
        """One look at every engine."""
        for launcher in self._engines.names():
            try:
                await self._sweep(launcher)
            except EngineUnavailable:
                logger.info("%s does not answer: no hunt for orphans there now", launcher)

    async def _sweep(self, launcher: str) -> None:
        # Listed first, looked up second: an intent is stored before its run can be in any list.
        async with bounded():
            listed = await self._engines.get(launcher).list_runs()
        ours = [name for name in listed if name.startswith(RUN_PREFIX)]
        known = await self._store.known_runs(launcher, ours)
        orphans = {name for name in ours if name not in known}
        self._forget_others(launcher, orphans)
        if not orphans:
            return
        given_up = await self._store.runs_on_record(launcher, sorted(orphans))
        generation = await self._store.generation()
        now_ms = self._store.now_ms()
        for name in sorted(orphans):
            is_new = (launcher, name) not in self._first_seen_ms
            first_ms = self._first_seen_ms.setdefault((launcher, name), now_ms)
            wait_s = self._wait_s(given_up=name in given_up, ours=is_of(generation, name))
            if not is_new and now_ms - first_ms >= wait_s * 1000:
                await self._remove(launcher, name)
            elif name not in given_up and is_new:
                until = "for good" if wait_s == math.inf else "for now"
                logger.warning(
                    "the run %s on %s is unknown here; it is left alone %s", name, launcher, until
                )

    def _wait_s(self, *, given_up: bool, ours: bool) -> float:
        """A run of an attempt that was given up goes soon. Of any other the store may have lost the memory."""
        if given_up:
            return self._settings.lease_s
        return self._settings.orphan_quarantine_s if ours else math.inf

    async def _remove(self, launcher: str, name: str) -> None:
        engine = self._engines.get(launcher)
        status = await self._engines.status(launcher, name)
        async with bounded():
            if status.state in OVER:  # absent and yet listed: files of a run that never began
                logger.warning("the orphaned run %s on %s is removed", name, launcher)
                await engine.cleanup(name)
            else:
                logger.warning("the orphaned run %s on %s is stopped", name, launcher)
                await engine.cancel(name, self._settings.grace_s)

    def _forget_others(self, launcher: str, orphans: set[str]) -> None:
        for key in [k for k in self._first_seen_ms if k[0] == launcher and k[1] not in orphans]:
            del self._first_seen_ms[key]
