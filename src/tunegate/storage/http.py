"""`HttpStore`: single objects behind http and https addresses, read only."""

import base64
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NoReturn, Self

import aiohttp

from tunegate.contract.request import Auth
from tunegate.contract.training import StoragePolicy
from tunegate.egress import EgressClient, EgressFailed, EgressRefused
from tunegate.sdk.clock import Clock, SystemClock
from tunegate.sdk.storage import (
    AccessDenied,
    NotAllowed,
    ObjectInfo,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    Unsupported,
)
from tunegate.storage.addresses import shown
from tunegate.storage.policy import egress_policy
from tunegate.storage.transfer import (
    BrokenRead,
    Chunks,
    Part,
    appearing,
    fill,
    in_parallel,
    parts_of,
    resume,
)

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class HttpStore(ObjectStore):
    """The query of an address is sent and never shown. Redirects are followed, each checked by the egress guard.

    Everything is a ranged GET: links signed for GET answer a HEAD with 403. Servers without ranges are read from the start.
    """

    schemes = frozenset({"http", "https"})

    def __init__(
        self, policy: StoragePolicy, auth: Auth | None = None, *, clock: Clock | None = None
    ) -> None:
        self._client = EgressClient(egress_policy(policy))
        self._auth = auth or Auth()
        self._clock = clock or SystemClock()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.__aexit__(*exc)

    async def head(self, uri: str) -> ObjectInfo:
        """Raises Unsupported where the server does not tell the size."""
        version = await self._look(uri)
        if version.size_bytes is None:
            raise Unsupported(f"{shown(uri)}: the server does not tell the object's size")
        return version.info(version.size_bytes)

    async def read(self, uri: str, *, offset: int = 0, length: int | None = None) -> bytes:
        if length == 0:
            return b""
        part = (offset, None if length is None else offset + length)
        return b"".join([chunk async for chunk in self._range(_Version(uri), part, 2**20)])

    def stream(self, uri: str, *, offset: int = 0, chunk_bytes: int = 2**20) -> Chunks:
        return self._range(_Version(uri), (offset, None), chunk_bytes)

    async def download(self, uri: str, target: Path) -> ObjectInfo:
        version = await self._look(uri)
        parts: list[Part] = [(0, None)]
        if version.size_bytes is not None and version.takes_ranges:
            parts = parts_of(version.size_bytes)
        ends: list[int] = []
        async with appearing(target) as descriptor:

            async def fetch(part: Part) -> None:
                ends.append(await fill(descriptor, part, self._range(version, part, 2**20)))

            await in_parallel(parts, fetch)
            size = max(ends)
            if version.size_bytes not in {None, size}:
                raise StorageError(f"{shown(uri)} has the wrong size")
        return version.info(size)

    async def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> NoReturn:  # noqa: ARG002
        raise _read_only(uri)

    async def upload(self, source: Path, uri: str) -> NoReturn:  # noqa: ARG002
        raise _read_only(uri)

    async def delete(self, uri: str) -> NoReturn:
        raise _read_only(uri)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        raise Unsupported(f"{shown(prefix)}: objects behind http can't be listed")
        yield

    async def _look(self, uri: str) -> "_Version":
        version = _Version(uri)
        async with aclosing(self._range(version, (0, 1), 1)) as chunks:
            async for _ in chunks:
                break
        return version

    def _range(self, version: "_Version", part: Part, chunk_bytes: int) -> Chunks:
        start, stop = part

        def open_at(position: int) -> Chunks:
            return self._open(version, position, stop, chunk_bytes)

        return resume(open_at, start, self._clock)

    async def _open(
        self, version: "_Version", start: int, stop: int | None, chunk_bytes: int
    ) -> Chunks:
        headers = {"Accept-Encoding": "identity", **self._credentials()}
        if (start, stop) != (0, None):
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with _http_errors(version.uri):
            async with self._client.get(version.uri, headers) as response:
                if response.status != 416:
                    _require_success(version.uri, response.status)
                version.require_same(response, start)
                if response.status == 416:
                    return  # nothing lies at or after `start`
                # A server without ranges answers 200 with everything from the beginning.
                skip = start if response.status == 200 else 0
                left = None if stop is None else stop - start
                async for chunk in response.content.iter_chunked(chunk_bytes):
                    wanted = chunk[skip:] if left is None else chunk[skip : skip + left]
                    skip = max(0, skip - len(chunk))
                    if wanted:
                        yield wanted
                    if left is not None:
                        left -= len(wanted)
                        if left == 0:
                            return

    def _credentials(self) -> dict[str, str]:
        auth = self._auth
        if auth.token is not None:
            return {"Authorization": f"Bearer {auth.token.reveal()}"}
        if auth.username is not None or auth.password is not None:
            user = auth.username.reveal() if auth.username else ""
            password = auth.password.reveal() if auth.password else ""
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}


class _Version:
    """One state of the object: what the first answer said of it, which all later ones must repeat."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.size_bytes: int | None = None
        self.takes_ranges = False
        self._etag: str | None = None
        self._modified: str | None = None
        self._seen = False

    def require_same(self, response: aiohttp.ClientResponse, start: int) -> None:
        """Raises StorageError when another version comes, or bytes from elsewhere than `start`."""
        begin, size = _position(response)
        if response.status == 416:
            self.size_bytes = size if self.size_bytes is None else self.size_bytes
            return
        now = (response.headers.get("etag"), response.headers.get("last-modified"), size)
        if not self._seen:
            self._seen = True
            self._etag, self._modified, self.size_bytes = now
        elif now != (self._etag, self._modified, self.size_bytes):
            raise StorageError(f"{shown(self.uri)} changed while it was read")
        self.takes_ranges = response.status == 206
        if self.takes_ranges and begin != start:
            raise StorageError(f"{shown(self.uri)}: the server sent other bytes than asked for")

    def info(self, size_bytes: int) -> ObjectInfo:
        modified_ms = None
        if self._modified is not None:
            try:
                modified_ms = int(parsedate_to_datetime(self._modified).timestamp() * 1000)
            except ValueError:
                modified_ms = None  # a date that is none is no reason to refuse the bytes
        return ObjectInfo(
            uri=self.uri, size_bytes=size_bytes, etag=self._etag, modified_ms=modified_ms
        )


def _position(response: aiohttp.ClientResponse) -> tuple[int, int | None]:
    """Where the answer's bytes begin, and the size of the whole object where the server tells it."""
    if response.status == 200:
        return 0, response.content_length
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if match is None:
        return 0, None
    return int(match[1] or 0), None if match[2] == "*" else int(match[2])


def _require_success(uri: str, status: int) -> None:
    if status in {200, 206}:
        return
    if status in {404, 410}:
        raise ObjectNotFound(f"{shown(uri)} does not exist (HTTP {status})")
    if status in {401, 403, 407}:
        raise AccessDenied(f"{shown(uri)}: the credentials do not allow this (HTTP {status})")
    if status in {408, 425, 429} or status >= 500:
        raise BrokenRead(f"{shown(uri)}: the server can't answer now (HTTP {status})")
    raise StorageError(f"{shown(uri)}: the server answered HTTP {status}")


@contextmanager
def _http_errors(uri: str) -> Generator[None, None, None]:
    try:
        yield
    except EgressRefused as error:
        raise NotAllowed(f"{shown(uri)}: {error}") from None
    except EgressFailed as error:
        raise BrokenRead(f"{shown(uri)}: {error}") from None


def _read_only(uri: str) -> Unsupported:
    return Unsupported(f"{shown(uri)}: http addresses can only be read")
