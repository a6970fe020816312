"""A disk that writes down all that SQLite asks of it, as an SQLite VFS over the real one."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Literal, NamedTuple

import apsw
from apsw import URIFilename

NAME = "tunegate-recording"
_USUAL = apsw.vfs_names()[0]


class Operation(NamedTuple):
    """One change of a file, or the promise (`sync`) that all changes of it so far are kept."""

    file: str
    kind: Literal["write", "truncate", "sync", "delete"]
    offset: int = 0
    """Of a write; the new size of a truncation."""
    data: bytes = b""
    with_directory: bool = False
    """The directory was synced too."""


class Recording:
    """The operations in order. `marks` are moments at which all that was asked of the store had been acknowledged."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.marks: list[int] = []
        self._lock = threading.Lock()

    def add(self, operation: Operation) -> None:
        with self._lock:
            self.operations.append(operation)

    def mark(self) -> None:
        self.marks.append(len(self.operations))


class _File(apsw.VFSFile):
    def __init__(
        self, recording: Recording, name: str | URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__(_USUAL, name, flags)
        self._recording = recording
        self._name = _plain(name)
        # SQLite syncs the directory too when it first syncs a journal or a log that it opened.
        self._is_new = bool(flags[0] & (apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._add(Operation(self._name, "write", offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._add(Operation(self._name, "truncate", newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        """The real disk need not: the power of this machine stays on."""
        self._add(Operation(self._name, "sync", with_directory=self._is_new))
        self._is_new = False

    def _add(self, operation: Operation) -> None:
        if self._name:  # SQLite's scratch files have none
            self._recording.add(operation)


class _Vfs(apsw.VFS):
    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        super().__init__(NAME, _USUAL, makedefault=True)

    def xOpen(self, name: str | URIFilename | None, flags: list[int]) -> _File:  # noqa: N802
        return _File(self._recording, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self._recording.add(Operation(_plain(filename), "delete", with_directory=syncdir))


def _plain(name: str | URIFilename | None) -> str:
    path = name.filename() if isinstance(name, URIFilename) else name
    return PurePath(path).name if path else ""


@contextmanager
def recording_disk() -> Generator[Recording]:
    """SQLite's default disk while the context lasts."""
    recording = Recording()
    vfs = _Vfs(recording)
    try:
        yield recording
    finally:
        apsw.set_default_vfs(_USUAL)
        vfs.unregister()
