"""Runs as this gateway knows them: a folder each, from the submission to the clean-up. All methods block.

run.json    what was asked for, written whole before the engine hears of it
files/      the run's files and its secret, until its container has them
begun.json  its container was started; stop.json the wish to end it, end.json why it never began
"""

import shutil
from pathlib import Path
from typing import Any

from tunegate.contract.base import Wire
from tunegate.launchers.container.states import End, Stop
from tunegate.launchers.local.fit import Demand
from tunegate.launchers.local.folder import RunFolder, create_folder, sweep
from tunegate.sdk.launcher import Run
from tunegate.sdk.run_files import public_files, secret_files


class RunRecord(Wire):
    """run.json. `secrets` are the paths of the files that only the run may read."""

    name: str
    order: int
    identity: str
    demand: Demand
    request: dict[str, Any]
    secrets: list[str]
    lasts_s: float
    grace_s: float


class Begun(Wire):
    """begun.json: when the launcher ends the run, if nobody else has."""

    end_at_ms: int


class View(Wire):
    """All that lies in a run's folder but for its files."""

    record: RunRecord
    begun: Begun | None = None
    stop: Stop | None = None
    end: End | None = None


class Folders:
    """The folders below one path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def views(self) -> dict[str, View]:
        """All runs, in the order of their submission."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        views = (self.view(one.name) for one in self.path.iterdir() if one.name[0] != ".")
        found = sorted((view for view in views if view), key=lambda view: view.record.order)
        return {view.record.name: view for view in found}

    def view(self, name: str) -> View | None:
        folder = self._folder(name)
        record = folder.read("run", RunRecord)
        if record is None:
            return None
        return View(
            record=record,
            begun=folder.read("begun", Begun),
            stop=folder.read("stop", Stop),
            end=folder.read("end", End),
        )

    def add(self, run: Run, identity: str, demand: Demand, request: dict[str, Any], lasts_s: float) -> None:  # fmt: skip
        """A run at the end of the queue. Raises LaunchRefused for a file that lies outside its folder."""
        orders = [view.record.order for view in self.views().values()]
        secret = secret_files(run)
        record = RunRecord(
            name=run.name,
            order=max(orders, default=0) + 1,
            identity=identity,
            demand=demand,
            request=request,
            secrets=sorted(secret),
            lasts_s=lasts_s,
            grace_s=run.grace_s,
        )
        self._folder(run.name).remove()  # one without a record is nobody's
        create_folder(self.path, run.name, record, public_files(run) | secret)

    def files(self, record: RunRecord) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The public files and the secret ones; empty once the container has them."""
        root = self._folder(record.name).files
        found = {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()}  # fmt: skip
        secret = {path: found.pop(path) for path in record.secrets if path in found}
        return found, secret

    def begin(self, name: str, begun: Begun) -> None:
        """Its container runs: nothing of its secret stays here."""
        folder = self._folder(name)
        folder.write("begun", begun)
        shutil.rmtree(folder.files, ignore_errors=True)

    def write_stop(self, name: str, stop: Stop) -> None:
        self._folder(name).write("stop", stop)

    def write_end(self, name: str, end: End) -> None:
        folder = self._folder(name)
        folder.write("end", end)
        shutil.rmtree(folder.files, ignore_errors=True)

    def remove(self, name: str) -> None:
        self._folder(name).remove()

    def sweep(self) -> None:
        """Remove what a killed gateway left half written or half removed."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self.path)

    def _folder(self, name: str) -> RunFolder:
        return RunFolder(self.path / name)
