import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.testing.s3_server import S3Server

BUCKET = "unit"
BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class StillClock:
    """Counts the sleeps and takes none."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)


class FaultyProxy:
    """A TCP proxy on loopback. `faults` apply to one connection each, in order: a number cuts the answer after so many
    bytes, `busy` answers 503, None lets it pass, as does everything after the last."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self.faults: list[int | str | None] = []
        self.connections = 0
        self.url = ""
        self._handlers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handlers.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        fault = self.faults.pop(0) if self.faults else None
        with suppress(ConnectionError):
            if fault == "busy":
                await reader.read(2**16)
                writer.write(BUSY)
                await writer.drain()
            else:
                await self._relay(reader, writer, fault if isinstance(fault, int) else 2**62)

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int
    ) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        sending = asyncio.create_task(_pump(reader, up_writer, 2**62))
        try:
            await _pump(up_reader, writer, limit)
        finally:
            sending.cancel()
            up_writer.close()
            with suppress(ConnectionError):
                await up_writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> None:
    with suppress(ConnectionError):
        while limit > 0 and (data := await reader.read(2**16)):
            writer.write(data[:limit])
            limit -= len(data)
            await writer.drain()


@pytest.fixture
async def proxy_to() -> AsyncIterator[Callable[[str], Awaitable[FaultyProxy]]]:
    started: list[FaultyProxy] = []

    async def start(upstream: str) -> FaultyProxy:
        proxy = FaultyProxy(upstream)
        await proxy.start()
        started.append(proxy)
        return proxy

    yield start
    for proxy in started:
        await proxy.stop()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def keys(s3_server: S3Server) -> Auth:
    s3_server.create_bucket(BUCKET)
    return Auth(
        aws_access_key_id=Secret(s3_server.access_key),
        aws_secret_access_key=Secret(s3_server.secret_key),
    )


@pytest.fixture
def policy(s3_server: S3Server) -> StoragePolicy:
    return StoragePolicy(
        s3_endpoint_url=s3_server.endpoint_url,
        sts_endpoint_url=s3_server.endpoint_url,
        s3_path_style=True,
        allow_private_addresses=True,
    )


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own retries, without their waits."""
    from botocore.retries.standard import ExponentialBackoff

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
