"""A disk that fails on demand, as an SQLite VFS over the real one."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import apsw
from apsw import URIFilename

NAME = "tunegate-faulty"
_USUAL = apsw.vfs_names()[0]
Fault = Callable[[str], Exception | None]
"""From the kind of an operation (write, sync, truncate, read) to the error it fails with."""


def disk_full(kind: str) -> Exception | None:
    return apsw.FullError("planted: the disk is full") if kind == "write" else None


def writes_fail(kind: str) -> Exception | None:
    return apsw.IOError("planted: write failed") if kind == "write" else None


def syncs_fail(kind: str) -> Exception | None:
    return apsw.IOError("planted: sync failed") if kind == "sync" else None


def all_fail(_: str) -> Exception | None:
    return apsw.IOError("planted: the disk is gone")


class FaultyDisk:
    """Operations pass and are counted until `fail_from`; from there on `fault` decides, until `heal`.

    Reads are operations if `reads`.
    """

    def __init__(self, *, reads: bool = False) -> None:
        self.reads = reads
        self.operations = 0
        self.hits = 0
        self._first: int | None = None
        self._fault: Fault = all_fail

    def fail_from(self, operation: int, fault: Fault) -> None:
        self._first, self._fault = operation, fault

    def heal(self) -> None:
        self._first = None

    def pass_or_fail(self, kind: str) -> None:
        self.operations += 1
        if self._first is None or self.operations < self._first:
            return
        if error := self._fault(kind):
            self.hits += 1
            raise error


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | URIFilename | None, flags: list[int]) -> None:
        super().__init__(_USUAL, name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        try:
            self._disk.pass_or_fail("write")
        except Exception:
            super().xWrite(bytes(data)[: len(data) // 2], offset)  # torn: half of it is there
            raise
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.pass_or_fail("sync")
        super().xSync(flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if self._disk.reads:
            self._disk.pass_or_fail("read")
        return super().xRead(amount, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.pass_or_fail("truncate")
        super().xTruncate(newsize)


class _Vfs(apsw.VFS):
    def __init__(self, disk: FaultyDisk) -> None:
        self._disk = disk
        super().__init__(NAME, _USUAL, makedefault=True)

    def xOpen(self, name: str | URIFilename | None, flags: list[int]) -> _File:  # noqa: N802
        return _File(self._disk, name, flags)


@contextmanager
def faulty_disk(*, reads: bool = False) -> Generator[FaultyDisk]:
    """SQLite's default disk while the context lasts."""
    disk = FaultyDisk(reads=reads)
    vfs = _Vfs(disk)
    try:
        yield disk
    finally:
        apsw.set_default_vfs(_USUAL)
        vfs.unregister()
