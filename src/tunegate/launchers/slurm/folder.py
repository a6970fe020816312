"""One run's folder on the shared file system: what gateway, batch script and run tell each other.

run.json    what was submitted and when; the number of Slurm's job once it is known
stop.json   the wish to end the run: a job that starts after it leaves at once
started/    made by the batch script that may start the program, with the number of its job
exit        the exit code, written by the batch script
remove      the run is to be forgotten once its job is over
files/      the container's files, attempt.json, the claim token;  work/ scratch;  log what the run said
"""

import os
import shutil
import uuid
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from tunegate.contract.base import Wire
from tunegate.sdk.launcher import LaunchRefused

T = TypeVar("T")
_NEW, _GONE = ".new-", ".removed-"


class RunRecord(Wire):
    """run.json. `tried_ms` is 0 before the first submission; `capped`: the time limit is the cluster's, not the job's."""

    name: str
    digest: str
    created_ms: int
    tried_ms: int = 0
    job_id: int | None = None
    capped: bool = False


class Stop(Wire):
    """stop.json."""

    kill_at_ms: int


class View(Wire):
    """All that a look at the folder says."""

    record: RunRecord
    stop: Stop | None = None
    started: bool = False
    started_by: int | None = None
    exit_code: int | None = None
    removing: bool = False


class RunFolder:
    """`<shared_dir>/<name>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log"

    def view(self) -> View | None:
        """None where there is no such run."""
        record = self._read("run.json", RunRecord)
        if record is None:
            return None
        return View(
            record=record,
            stop=self._read("stop.json", Stop),
            started=(self.path / "started").exists(),
            started_by=self._number("started/job"),
            exit_code=self._number("exit"),
            removing=(self.path / "remove").exists(),
        )

    def prepare(self, record: RunRecord, files: dict[str, bytes], script: str) -> None:
        """Before a submission: the whole folder, which gets its name last; or a fresh script in the one that is there."""
        if self.path.exists():
            self._replace("batch.sh", script.encode())
            self.write_record(record)
            return
        new = self.path.with_name(f"{_NEW}{uuid.uuid4().hex}")
        try:
            for path in (new, new / "work", new / "files"):
                path.mkdir(mode=0o700, parents=True)
            for name, content in files.items():
                _lay(new / "files", name, content)
            _write(new / "batch.sh", script.encode())
            _write(new / "run.json", msgspec.json.encode(record))
            new.rename(self.path)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def write_record(self, record: RunRecord) -> None:
        self._replace("run.json", msgspec.json.encode(record))

    def write_stop(self, stop: Stop) -> None:
        self._replace("stop.json", msgspec.json.encode(stop))

    def mark_removing(self) -> None:
        (self.path / "remove").touch(mode=0o600)

    def remove(self) -> None:
        """Gone in one step for everybody who looks; the bytes follow."""
        hidden = self.path.with_name(f"{_GONE}{uuid.uuid4().hex}")
        try:
            self.path.rename(hidden)
        except FileNotFoundError:
            return
        shutil.rmtree(hidden, ignore_errors=True)

    def _replace(self, name: str, content: bytes) -> None:
        new = self.path / f"{name}.{uuid.uuid4().hex}"
        _write(new, content)
        new.replace(self.path / name)

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _number(self, name: str) -> int | None:
        try:
            return int((self.path / name).read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None


def names_in(shared: Path) -> tuple[set[str], set[str]]:
    """The runs that have a folder, and those of them that are to be removed. Half-removed ones are swept."""
    found: set[str] = set()
    leaving: set[str] = set()
    for path in shared.iterdir() if shared.is_dir() else ():
        if path.name.startswith(_GONE):
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.startswith(".") and (path / "run.json").exists():
            found.add(path.name)
            if (path / "remove").exists():
                leaving.add(path.name)
    return found, leaving


def _write(path: Path, content: bytes) -> None:
    """A 0600 file, on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _lay(folder: Path, name: str, content: bytes) -> None:
    relative = PurePosixPath(name)
    if relative.is_absolute() or not relative.parts or ".." in relative.parts:
        raise LaunchRefused("a file of the container lies outside its folder")
    path = folder / relative
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, content)
