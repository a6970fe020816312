"""Names of runs that were removed, beside their folders, for a day.

A gateway may be frozen just before it submits a run. When it goes on, another one may have seen the run through and removed
it: it must not start a second time.
"""

import time
from contextlib import suppress
from pathlib import Path

KEPT_S = 86_400.0
_SWEEP_EVERY_S = 3600.0


class Gone:
    """Empty files by the runs' names; their age is that of the file."""

    def __init__(self, runs: Path) -> None:
        self._path = runs.with_name(runs.name + ".gone")
        self._swept_s = 0.0

    def add(self, name: str) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._path / name).touch(mode=0o600)
        if time.time() - self._swept_s >= _SWEEP_EVERY_S:
            self._sweep()

    def holds(self, name: str) -> bool:
        return (self._path / name).exists()

    def _sweep(self) -> None:
        self._swept_s = time.time()
        for path in self._path.iterdir():
            with suppress(FileNotFoundError):
                if self._swept_s - path.stat().st_mtime >= KEPT_S:
                    path.unlink()
