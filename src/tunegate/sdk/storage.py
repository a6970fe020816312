"""`ObjectStore`: one async interface over S3, files and HTTP."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar, Self

from tunegate.contract.base import Wire
from tunegate.contract.request import Auth
from tunegate.contract.training import StoragePolicy


class ObjectInfo(Wire):
    """One object. `uri` is its full address; `etag` changes when the content does."""

    uri: str
    size_bytes: int
    etag: str | None = None
    modified_ms: int | None = None


class StorageError(Exception):
    """Base of all errors of object stores. The message never holds a credential or a query string."""


class ObjectNotFound(StorageError):
    """No such object or bucket."""


class AccessDenied(StorageError):
    """The credentials do not allow it, or there are none."""


class NotAllowed(StorageError):
    """The operator's policy forbids this address."""


class AlreadyExists(StorageError):
    """A conditional write found the object there."""


class StoreUnavailable(StorageError):
    """The store did not answer, after all retries."""


class Unsupported(StorageError):
    """This store can't do that (writing over http, links to files)."""


class ObjectStore(ABC):
    """An async context manager for one scheme and one set of credentials. All addresses are full URIs.

    Constructed with (policy, auth). Transfers are parallel, checksummed and resume after a broken read.
    """

    schemes: ClassVar[frozenset[str]]

    @abstractmethod
    def __init__(self, policy: StoragePolicy, auth: Auth | None = None) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @abstractmethod
    async def head(self, uri: str) -> ObjectInfo:
        """Size and tag of one object. Raises ObjectNotFound, AccessDenied."""

    @abstractmethod
    async def read(self, uri: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes [offset, offset+length), or to the end."""

    @abstractmethod
    def stream(
        self, uri: str, *, offset: int = 0, chunk_bytes: int = 2**20
    ) -> AsyncIterator[bytes]:
        """The object in chunks; a broken connection is resumed where it broke, if the object did not change."""

    @abstractmethod
    async def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        """Put one object whole. `if_absent` raises AlreadyExists when it is there."""

    @abstractmethod
    async def upload(self, source: Path, uri: str) -> ObjectInfo:
        """Put a file, in parts when it is large; parts of a failed upload are removed."""

    @abstractmethod
    async def download(self, uri: str, target: Path) -> ObjectInfo:
        """Get a file, in parallel ranges when large, whole or not at all (renamed into place)."""

    @abstractmethod
    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects whose URI starts with `prefix`, in order of name."""

    @abstractmethod
    async def delete(self, uri: str) -> None:
        """Remove one object; a missing one is fine."""

    async def presign(self, uri: str, *, expires_s: int = 3600) -> str | None:  # noqa: ARG002
        """A link that reads the object without credentials, or None where the store has none."""
        return None
