"""`FileStore`: folders of this machine as an object store, below the roots that the operator allows."""

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from tunegate.contract.request import Auth
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import (
    AccessDenied,
    AlreadyExists,
    NotAllowed,
    ObjectInfo,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    StoreUnavailable,
)
from tunegate.storage.addresses import file_path, shown
from tunegate.storage.transfer import appearing, is_partial


class FileStore(ObjectStore):
    """file:// addresses and plain paths. Folders come and go with their files; links may not lead out of the roots."""

    schemes = frozenset({"file"})

    def __init__(self, policy: StoragePolicy, auth: Auth | None = None) -> None:
        # Credentials mean nothing here: the trainer's own user decides what can be read.
        del auth
        self._roots = [Path(root).resolve() for root in policy.file_roots]

    async def head(self, uri: str) -> ObjectInfo:
        return await asyncio.to_thread(self._head, uri)

    async def read(self, uri: str, *, offset: int = 0, length: int | None = None) -> bytes:
        def read() -> bytes:
            with _file_errors(uri), self._existing(uri).open("rb") as file:
                file.seek(offset)
                return file.read(-1 if length is None else length)

        return await asyncio.to_thread(read)

    async def stream(
        self, uri: str, *, offset: int = 0, chunk_bytes: int = 2**20
    ) -> AsyncGenerator[bytes, None]:
        with _file_errors(uri), self._existing(uri).open("rb") as file:
            file.seek(offset)
            while chunk := await asyncio.to_thread(file.read, chunk_bytes):
                yield chunk

    async def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        with _file_errors(uri):
            async with appearing(self._allowed(uri), if_absent=if_absent) as descriptor:
                await asyncio.to_thread(_write, descriptor, data)
        return await self.head(uri)

    async def upload(self, source: Path, uri: str) -> ObjectInfo:
        # A missing source is the caller's error, not the store's.
        await asyncio.to_thread(source.stat)
        with _file_errors(uri):
            async with appearing(self._allowed(uri)) as descriptor:
                await asyncio.to_thread(_copy, source, descriptor)
        return await self.head(uri)

    async def download(self, uri: str, target: Path) -> ObjectInfo:
        with _file_errors(uri):
            info = await self.head(uri)
            async with appearing(target) as descriptor:
                await asyncio.to_thread(_copy, self._existing(uri), descriptor)
                if os.fstat(descriptor).st_size != info.size_bytes:
                    raise StorageError(f"{shown(uri)} changed while it was read")
        return info

    async def local_path(self, uri: str) -> Path:
        """Where the file itself is, for readers that need no copy. Raises as `head` does."""
        with _file_errors(uri):
            return await asyncio.to_thread(self._existing, uri)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        with _file_errors(prefix):
            for uri in await asyncio.to_thread(self._names, prefix):
                try:
                    yield await self.head(uri)
                except (ObjectNotFound, NotAllowed):
                    # Removed meanwhile, or a link that leads out of the roots.
                    continue

    async def delete(self, uri: str) -> None:
        with _file_errors(uri):
            await asyncio.to_thread(self._allowed(uri).unlink, missing_ok=True)

    def _head(self, uri: str) -> ObjectInfo:
        with _file_errors(uri):
            status = self._existing(uri).stat()
        return ObjectInfo(
            uri=uri,
            size_bytes=status.st_size,
            etag=f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}",
            modified_ms=status.st_mtime_ns // 1_000_000,
        )

    def _allowed(self, uri: str) -> Path:
        """Where the object lies. Both the place itself and what a link there points to must be inside a root."""
        path = Path(file_path(uri)).absolute()
        place = path.parent.resolve() / path.name
        self._require_inside(uri, place.parent, path.resolve().parent)
        return place

    def _require_inside(self, uri: str, *folders: Path) -> None:
        if not self._roots:
            raise NotAllowed(f"{shown(uri)}: no folder is allowed here (storage.file_roots)")
        for folder in folders:
            if not any(folder.is_relative_to(root) for root in self._roots):
                raise NotAllowed(f"{shown(uri)} lies outside the folders of storage.file_roots")

    def _existing(self, uri: str) -> Path:
        path = self._allowed(uri)
        # Reading a pipe would never end, and a folder is no object.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ObjectNotFound(f"{shown(uri)} is not a file")
        return path

    def _names(self, prefix: str) -> Iterable[str]:
        """All addresses that start with `prefix`, in the order of their bytes, as object stores give them."""
        head, slash, _ = prefix.rpartition("/")
        start = head + slash
        folder = Path(file_path(start) or ".").resolve()
        self._require_inside(prefix, folder)
        names = (
            start + path.relative_to(folder).as_posix()
            for where, _, files in os.walk(folder)
            for path in (Path(where, name) for name in files if not is_partial(name))
        )
        return sorted((name for name in names if name.startswith(prefix)), key=os.fsencode)


def _write(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)


def _copy(source: Path, descriptor: int) -> None:
    with source.open("rb") as reader, open(descriptor, "wb", closefd=False) as writer:
        shutil.copyfileobj(reader, writer, 2**20)


@contextmanager
def _file_errors(uri: str) -> Generator[None, None, None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ObjectNotFound(f"{shown(uri)} does not exist") from None
    except FileExistsError:
        raise AlreadyExists(f"{shown(uri)} exists already") from None
    except PermissionError:
        raise AccessDenied(f"{shown(uri)}: this user may not do that") from None
    except OSError as error:
        raise StoreUnavailable(f"{shown(uri)}: {error.strerror}") from None
    except ValueError:
        raise NotAllowed(f"{shown(uri)} is not a valid path") from None
