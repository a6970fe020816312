"""All runs of this machine: what lies on disk decides, memory only remembers. Not async; one caller at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from tunegate.launchers.local import supervisor
from tunegate.launchers.local.command import MARK, env_of
from tunegate.launchers.local.folder import (
    Exit,
    RunFolder,
    RunRecord,
    Stop,
    Supervisor,
    create_folder,
    sweep,
)
from tunegate.launchers.local.gone import Gone
from tunegate.launchers.local.machine import Machine
from tunegate.launchers.local.procfs import boot_id, is_alive, processes_with_env
from tunegate.launchers.local.queue import Grant, plan, sentence
from tunegate.launchers.local.settings import LocalSettings
from tunegate.launchers.local.status import ended
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import RunState, RunStatus

START_TIMEOUT_S = 30.0


class Runs:
    """The runs below one folder."""

    def __init__(self, path: Path, machine: Machine, settings: LocalSettings, clock: Clock) -> None:
        self.path = path
        self._gone = Gone(path, clock)
        self._machine = machine
        self._settings = settings
        self._records: dict[str, RunRecord] = {}
        self._statuses: dict[str, RunStatus] = {}
        self._unsettled: dict[str, RunRecord] = {}
        self._waiting: dict[str, RunRecord] = {}
        self._lack = ""
        self._last_order = 0
        self._boot_id = boot_id()

    def load(self) -> None:
        """Take over what an earlier gateway left, or another one beside this did."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self.path)
        read = (RunFolder(path).read("run", RunRecord) for path in self.path.iterdir())
        found = [record for record in read if record is not None]
        found.sort(key=lambda record: record.order)
        self._records = {record.name: record for record in found}
        self._unsettled = dict(self._records)
        self._last_order = found[-1].order if found else 0
        self._waiting, self._statuses = {}, {}

    def names(self) -> list[str]:
        return sorted(self._records)

    def holds(self, name: str) -> bool:
        return name in self._records and self.folder(name).path.exists()

    def is_gone(self, name: str) -> bool:
        """It was there, and was removed."""
        return self._gone.holds(name)

    def folder(self, name: str) -> RunFolder:
        return RunFolder(self.path / name)

    def next_order(self) -> int:
        self._last_order += 1
        return self._last_order

    def add(self, record: RunRecord, files: dict[str, bytes]) -> None:
        """A new run at the end of the queue."""
        create_folder(self.path, record.name, record, files)
        self._records[record.name] = record
        self._wait(record)

    def statuses(self, names: Sequence[str]) -> dict[str, RunStatus]:
        """What is known of each; `advance` finds out what is new."""
        found = {name: self._status(name) for name in names}
        if not self._waiting.keys().isdisjoint(found):
            for ahead, name in enumerate(self._waiting):
                if name in found:
                    reason = sentence(self._lack, ahead)
                    found[name] = msgspec.structs.replace(found[name], reason=reason)
        return found

    def stop(self, name: str, grace_s: float) -> None:
        """Write the wish down; the supervisor sees it soon, a waiting run ends at once."""
        if name not in self._records or ended_already(self._status(name)):
            return
        folder = self.folder(name)
        folder.write("stop", Stop(grace_s=max(grace_s, 0.0)))
        if folder.read("grant", Grant) is None:
            folder.write("exit", Exit(cause="cancel"))
            self._waiting.pop(name, None)
            self._unsettled[name] = self._records[name]

    def remove(self, name: str) -> None:
        """Forget a run; one that still lives is killed first and goes when it has ended."""
        if name not in self._records:
            return
        folder = self.folder(name)
        if ended_already(self._status(name)):
            self._gone.add(name)
            folder.remove()
            self._forget(name)
        else:
            (folder.path / "remove").touch(mode=0o600)
            self.stop(name, 0.0)

    def advance(self) -> None:
        """See what became of the runs that were started, and start those that fit.

        Whoever has the turn grants and stops, so a waiting run is as it was: its folder is left alone.
        """
        looked_at = [self._look(record) for record in tuple(self._unsettled.values())]
        held = [grant for grant in looked_at if grant is not None]
        queue = ((record.name, record.demand) for record in self._waiting.values())
        decided = plan(queue, held, self._machine)
        self._lack = decided.lack
        for name, grant in decided.starts.items():
            record = self._unsettled[name] = self._waiting.pop(name)
            if self.folder(name).path.exists():
                self.folder(name).write("grant", grant)
                self._start(record, grant)

    def _look(self, record: RunRecord) -> Grant | None:
        """Settle the status of a run; returns what it holds of the machine."""
        name, folder = record.name, self.folder(record.name)
        if not folder.path.exists():
            self._forget(name)
            return None
        end = folder.read("exit", Exit) or self._find_lost(folder)
        if end is not None:
            del self._unsettled[name]
            self._statuses[name] = ended(name, end)
            if (folder.path / "remove").exists():
                self.remove(name)
            return None
        grant = folder.read("grant", Grant)
        if grant is None:
            del self._unsettled[name]
            self._wait(record)
        elif folder.read("supervisor", Supervisor) is None:
            self._start(record, grant)
        else:
            self._set(name, RunState.RUNNING)
        return grant

    def _find_lost(self, folder: RunFolder) -> Exit | None:
        """A verdict for a run whose supervisor is gone without one; it is written down, so it stands."""
        watcher = folder.read("supervisor", Supervisor)
        if watcher is None:
            return None
        rebooted = watcher.boot_id != self._boot_id
        if not rebooted and is_alive(watcher.pid, watcher.start_ticks):
            return None
        end = folder.read("exit", Exit)  # it may have written its last word just before it left
        if end is None:
            for pid in processes_with_env(MARK, str(folder.path)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            end = Exit(cause="reboot" if rebooted else "lost")
            folder.write("exit", end)
        return end

    def _start(self, record: RunRecord, grant: Grant) -> None:
        folder = self.folder(record.name)
        env = env_of(record.env, grant, folder.path, self._settings, os.environ)
        if self._spawn(folder, env) or folder.read("supervisor", Supervisor) is not None:
            self._set(record.name, RunState.RUNNING)
        elif folder.read("stop", Stop) is not None:
            folder.write("exit", Exit(cause="cancel"))
        else:  # no memory, no process number, a full disk: the next look tries again
            self._set(record.name, RunState.STARTING, "the machine has no room for its supervisor")

    def _spawn(self, folder: RunFolder, env: Mapping[str, str]) -> bool:
        """Start a supervisor, which goes into the background by itself."""
        argv = supervisor.command(sys.executable, folder.path)
        with folder.log.open("ab") as log:
            try:
                done = subprocess.run(  # noqa: S603  our own program
                    argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    cwd=folder.path, timeout=START_TIMEOUT_S, check=False,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired):
                return False
        return done.returncode == 0

    def _wait(self, record: RunRecord) -> None:
        self._waiting[record.name] = record
        self._set(record.name, RunState.PENDING)

    def _forget(self, name: str) -> None:
        for known in (self._records, self._statuses, self._unsettled, self._waiting):
            known.pop(name, None)

    def _status(self, name: str) -> RunStatus:
        return self._statuses.get(name) or RunStatus(name=name, state=RunState.ABSENT)

    def _set(self, name: str, state: RunState, reason: str = "") -> None:
        self._statuses[name] = RunStatus(
            name=name, state=state, native_state=state.value, reason=reason
        )


def ended_already(status: RunStatus) -> bool:
    return status.state in {RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED}
