"""One run's folder: what the gateway, the supervisor and the run tell each other. Every write is whole and on disk.

run.json         order, demand and command, written by the gateway before anything starts
grant.json       the GPUs it was given, written before the supervisor is started
supervisor.json  who watches over it, stop.json the wish to end it, exit.json how it ended
files/           the working folder: the container's files, attempt.json, the claim token
log              what the run said
"""

import os
import shutil
import uuid
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from tunegate.contract.base import Wire
from tunegate.launchers.local.fit import Demand
from tunegate.sdk.launcher import LaunchRefused

T = TypeVar("T")
REMOVED = ".removed-"
NEW = ".new-"


class RunRecord(Wire):
    """run.json; `env` is that of the container alone."""

    name: str
    order: int
    argv: list[str]
    demand: Demand
    env: dict[str, str]
    max_duration_s: float
    grace_s: float


class Supervisor(Wire):
    """supervisor.json: a process of one boot."""

    pid: int
    start_ticks: int
    boot_id: str


class Stop(Wire):
    """stop.json."""

    grace_s: float


class Exit(Wire):
    """exit.json. `cause`: cancel, signal, deadline (the supervisor's), lost, reboot (the gateway's finding)."""

    exit_code: int | None = None
    signal: int | None = None
    cause: str | None = None
    error: str | None = None


class RunFolder:
    """`<state>/runs/<name>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = path / "files"
        self.log = path / "log"

    def read(self, name: str, kind: type[T]) -> T | None:
        """The JSON file `<name>.json`, or None where there is none."""
        try:
            return msgspec.json.decode((self.path / f"{name}.json").read_bytes(), type=kind)
        except FileNotFoundError:
            return None

    def write(self, name: str, value: msgspec.Struct) -> None:
        """Replace `<name>.json`."""
        new = self.path / f"{name}.gateway"
        write_private(new, msgspec.json.encode(value))
        new.replace(self.path / f"{name}.json")
        sync_folder(self.path)

    def remove(self) -> None:
        """Gone in one step for everybody who looks; the bytes follow."""
        hidden = self.path.with_name(f"{REMOVED}{uuid.uuid4().hex}")
        try:
            self.path.rename(hidden)
        except FileNotFoundError:
            return
        shutil.rmtree(hidden, ignore_errors=True)


def create_folder(
    runs: Path, name: str, record: msgspec.Struct, files: dict[str, bytes]
) -> RunFolder:
    """Write a whole run folder and give it its name last. Raises LaunchRefused for a bad path."""
    new = RunFolder(runs / f"{NEW}{uuid.uuid4().hex}")
    try:
        new.path.mkdir(mode=0o700)
        new.files.mkdir(mode=0o700)
        for path, content in files.items():
            _lay(new.files, path, content)
        new.write("run", record)
        write_private(new.log, b"")
        new.path.rename(runs / name)
        sync_folder(runs)
    except BaseException:
        shutil.rmtree(new.path, ignore_errors=True)
        raise
    return RunFolder(runs / name)


def sweep(runs: Path) -> None:
    """Remove what a killed gateway left half written or half removed."""
    for leftover in runs.iterdir():
        if leftover.name.startswith((NEW, REMOVED)):
            shutil.rmtree(leftover, ignore_errors=True)


def write_private(path: Path, content: bytes) -> None:
    """A 0600 file, on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lay(folder: Path, name: str, content: bytes) -> None:
    relative = PurePosixPath(name)
    if relative.is_absolute() or not relative.parts or ".." in relative.parts:
        raise LaunchRefused("a file of the container lies outside its folder")
    path = folder / relative
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, content)
