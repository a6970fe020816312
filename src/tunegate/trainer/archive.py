"""Unpack an archive of weights that somebody else made: plain files below one folder, and not too many bytes."""

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tunegate.sdk.errors import TunegateError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MOST_MEMBERS = 10_000
LARGEST_RATIO = 20
"""Weights hardly shrink; what grows more than this is a bomb."""
SMALL_BYTES = 64 * 2**20
"""Below this size the ratio is not looked at: text shrinks well."""
CHUNK_BYTES = 2**20


def is_archive(address: str) -> bool:
    return address.lower().endswith(SUFFIXES)


def unpack(archive: Path, target: Path, name: str) -> None:
    """Unpack into `target`. `name` is what messages call the archive. Raises TunegateError model_invalid."""
    budget = _Budget(max(SMALL_BYTES, LARGEST_RATIO * archive.stat().st_size))
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        members = _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive)
        for path, content in members:
            place = target / _safe(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            budget.member()
            with place.open("xb") as file:
                while chunk := content.read(CHUNK_BYTES):
                    budget.spend(len(chunk))
                    file.write(chunk)
    except _Unsafe as error:
        raise TunegateError("model_invalid", f"{name} holds {error}.") from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise TunegateError("model_invalid", f"{name} can't be unpacked.") from error


class _Unsafe(Exception):
    """What the archive holds that it must not."""


class _Budget:
    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._members = 0

    def member(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise _Unsafe(f"more than {MOST_MEMBERS} files")

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _Unsafe(f"far more bytes than its size tells (over {LARGEST_RATIO} times)")


def _safe(path: str) -> PurePosixPath:
    pure = PurePosixPath(path.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in path or not pure.parts:
        raise _Unsafe("a path that leads out of it")
    return pure


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise _Unsafe("a link or another thing that is no plain file")
            with bundle.open(info) as content:
                yield info.filename, content


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive, "r:*") as bundle:
        for info in bundle:
            if info.isdir():
                continue
            content = bundle.extractfile(info) if info.isreg() else None
            if content is None:
                raise _Unsafe("a link or another thing that is no plain file")
            yield info.name, content
