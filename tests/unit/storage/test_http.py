import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import (
    AccessDenied,
    NotAllowed,
    ObjectNotFound,
    StorageError,
    StoreUnavailable,
    Unsupported,
)
from tunegate.storage import transfer
from tunegate.storage.http import HttpStore

LOCAL = StoragePolicy(allow_http=True, allow_private_addresses=True)
DATA = bytes(range(256)) * 64


class Source:
    """A web server that serves one object and notes what it is asked for."""

    def __init__(self) -> None:
        self.data = DATA
        self.etag = '"v1"'
        self.ranges = True
        self.tells_size = True
        self.statuses: list[int] = []
        self.cuts: list[int] = []
        self.requests: list[web.Request] = []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.statuses:
            return web.Response(status=self.statuses.pop(0), text="canary-body")
        start, stop, status = 0, len(self.data), 200
        if self.ranges and "range" in request.headers:
            wanted = request.http_range
            start, stop, status = wanted.start or 0, min(wanted.stop or stop, stop), 206
            if start >= len(self.data):
                return web.Response(
                    status=416, headers={"content-range": f"bytes */{len(self.data)}"}
                )
        response = web.StreamResponse(status=status, headers={"etag": self.etag})
        if status == 206:
            response.headers["content-range"] = f"bytes {start}-{stop - 1}/{len(self.data)}"
        if self.tells_size:
            response.content_length = stop - start
        await response.prepare(request)
        body = self.data[start:stop]
        if self.cuts:
            await response.write(body[: self.cuts.pop(0)])
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(body)
        return response


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def url(source: Source) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{name}", source.serve)
    async with TestServer(app) as server:
        yield str(server.make_url("/object"))


@pytest.fixture
async def store(clock: Any) -> AsyncIterator[HttpStore]:
    async with HttpStore(LOCAL, clock=clock) as store:
        yield store


Serve = Callable[..., Awaitable[str]]


async def test_a_broken_read_is_resumed(store: HttpStore, source: Source, url: str) -> None:
    source.cuts = [5000, 0, 1]
    assert await store.read(url) == DATA
    asked = [request.headers.get("range") for request in source.requests]
    assert asked == [None, "bytes=5000-", "bytes=5000-", "bytes=5001-"]


async def test_a_server_without_ranges_is_read_again_from_the_start(
    store: HttpStore, source: Source, url: str, tmp_path: Path
) -> None:
    source.ranges = False
    source.cuts = [5000]
    assert await store.read(url) == DATA
    assert await store.read(url, offset=300, length=10) == DATA[300:310]
    assert (await store.head(url)).size_bytes == len(DATA)
    assert (await store.download(url, tmp_path / "x")).size_bytes == len(DATA)
    assert (tmp_path / "x").read_bytes() == DATA


async def test_a_size_that_is_not_told(
    store: HttpStore, source: Source, url: str, tmp_path: Path
) -> None:
    source.ranges = source.tells_size = False
    with pytest.raises(Unsupported, match="size"):
        await store.head(url)
    assert (await store.download(url, tmp_path / "x")).size_bytes == len(DATA)
    assert (tmp_path / "x").read_bytes() == DATA


async def test_large_objects_come_in_parallel_parts(
    store: HttpStore, source: Source, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "part_bytes", lambda _: 1000)
    info = await store.download(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    assert (info.size_bytes, info.etag) == (len(DATA), '"v1"')
    assert len(source.requests) == 1 + 17


async def test_a_change_between_parts_is_noticed(
    store: HttpStore, source: Source, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "part_bytes", lambda _: 1000)
    real = source.serve

    async def changing(request: web.Request) -> web.StreamResponse:
        source.etag = f'"v{len(source.requests)}"'
        return await real(request)

    app = web.Application()
    app.router.add_get("/{name}", changing)
    async with TestServer(app) as server:
        with pytest.raises(StorageError, match="changed"):
            await store.download(str(server.make_url("/object")), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


async def test_a_server_that_sends_other_bytes_is_refused(store: HttpStore) -> None:
    async def lying(request: web.Request) -> web.Response:
        return web.Response(status=206, body=b"xx", headers={"content-range": "bytes 0-1/50"})

    app = web.Application()
    app.router.add_get("/{name}", lying)
    async with TestServer(app) as server:
        with pytest.raises(StorageError, match="other bytes"):
            await store.read(str(server.make_url("/object")), offset=7)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AccessDenied), (403, AccessDenied), (404, ObjectNotFound), (410, ObjectNotFound),
        (400, StorageError), (204, StorageError), (304, StorageError),
    ],
)  # fmt: skip
async def test_answers_become_errors_at_once(
    store: HttpStore, source: Source, url: str, status: int, error: type[StorageError]
) -> None:
    source.statuses = [status]
    with pytest.raises(error) as caught:
        await store.read(f"{url}?signature=canary-query")
    assert type(caught.value) is error
    assert "canary" not in str(caught.value)
    assert str(status) in str(caught.value)


async def test_trouble_of_the_server_is_ridden_out(
    store: HttpStore, source: Source, url: str, clock: Any
) -> None:
    source.statuses = [503, 429, 500, 502]
    assert await store.read(url) == DATA
    assert len(clock.slept) == 4
    source.statuses = [503] * 9
    with pytest.raises(StoreUnavailable, match="503"):
        await store.read(url)
    assert len(source.statuses) == 4


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        (Auth(), None),
        (Auth(token=Secret("t0")), "Bearer t0"),
        (
            Auth(username=Secret("me"), password=Secret("pä")),
            f"Basic {base64.b64encode('me:pä'.encode()).decode()}",
        ),
    ],
)
async def test_credentials(source: Source, url: str, auth: Auth, header: str | None) -> None:
    async with HttpStore(LOCAL, auth) as store:
        await store.read(f"{url}?q=a%2Fb&r=%20")
    assert source.requests[0].headers.get("authorization") == header
    assert source.requests[0].rel_url.raw_query_string == "q=a%2Fb&r=%20"


@pytest.mark.parametrize(
    "policy", [StoragePolicy(), StoragePolicy(allow_http=True), StoragePolicy(allow_private_addresses=True)]
)  # fmt: skip
async def test_the_policy_holds(policy: StoragePolicy, source: Source, url: str) -> None:
    async with HttpStore(policy) as store:
        with pytest.raises(NotAllowed):
            await store.read(url)
    assert source.requests == []
