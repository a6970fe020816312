"""Names of runs that were removed, beside their folders, for a day.

A gateway may be frozen just before it submits a run. When it goes on, another one may have seen the run through and removed
it: it must not start a second time.
"""

from contextlib import suppress
from pathlib import Path

from tunegate.sdk.clock import Clock

KEPT_S = 86_400.0
_SWEEP_EVERY_S = 3600.0


class Gone:
    """Empty files by the runs' names, which are as old as the file system says."""

    def __init__(self, runs: Path, clock: Clock) -> None:
        self._clock = clock
        self._path = runs.with_name(runs.name + ".gone")
        self._swept_s = 0.0

    def add(self, name: str) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._path / name).touch(mode=0o600)
        now_s = self._clock.now_ms() / 1000
        if now_s - self._swept_s >= _SWEEP_EVERY_S:
            self._swept_s = now_s
            self._sweep(now_s - KEPT_S)

    def holds(self, name: str) -> bool:
        return (self._path / name).exists()

    def _sweep(self, before_s: float) -> None:
        for path in self._path.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime <= before_s:
                    path.unlink()
