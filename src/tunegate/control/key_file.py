"""The key file on disk: who may read it, how it appears, how it is changed."""

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tunegate.control.keyring import KeyFileUnsafe, KeyRing, decode_ring, encode_ring, new_ring

Stamp = tuple[int, int, int]
"""Changes whenever the file does."""


def read_ring(path: Path) -> KeyRing:
    """The ring, made where there is none. Raises KeyFileUnsafe."""
    if not path.exists():
        _create(path)
    _check_access(path)
    try:
        return decode_ring(path.read_bytes())
    except ValueError:
        raise KeyFileUnsafe(f"{path} is no key ring; restore it from a backup.") from None


def stamp(path: Path) -> Stamp:
    """Raises OSError."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def change_ring(path: Path, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Replace the file's ring, whole or not at all; one change after the other. Raises KeyFileUnsafe, OSError."""
    with _locked(path.parent):
        before = read_ring(path)
        after = change(before)
        if encode_ring(after) != encode_ring(before):  # the order of the keys counts too
            with _written_aside(path, after) as aside:
                aside.replace(path)
    return after


def _check_access(path: Path) -> None:
    found = path.stat()
    me = os.geteuid()
    if found.st_uid not in {me, 0}:
        raise KeyFileUnsafe(f"{path} belongs to another user, who can change it; make it your own.")
    # A secret that an orchestrator mounts belongs to root and is lent to the gateway through its group.
    lent = found.st_uid == 0 and me != 0
    forbidden = (stat.S_IRWXO | stat.S_IWGRP) if lent else (stat.S_IRWXO | stat.S_IRWXG)
    if found.st_mode & forbidden:
        raise KeyFileUnsafe(f"{path} can be read by others; set its mode to 0600.")


def _create(path: Path) -> None:
    """Link what was written aside: it never replaces another's file. A process that was faster has its keys count."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _written_aside(path, new_ring(datetime.now(UTC))) as aside:
        try:
            path.hardlink_to(aside)
        except FileExistsError:
            return


@contextmanager
def _written_aside(path: Path, ring: KeyRing) -> Generator[Path]:
    """A private file beside `path`, synced; what became of it is synced too, and it is gone afterwards."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode_ring(ring))
            file.flush()
            os.fsync(file.fileno())
        yield aside
        with _opened(path.parent) as folder:
            os.fsync(folder)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    with _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(folder: Path) -> Generator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
