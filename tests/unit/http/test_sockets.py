"""What only a real socket shows: bodies without end, slow senders, readers that stop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from support.door import CANONICAL, FakeJobs, event, job
from support.server import listen, serving, until
from tunegate.http.protocol import HEAD_LIMIT_BYTES

from .conftest import AppFactory

HEAD = (
    "POST /train HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer writer-token\r\n"
    "Content-Type: application/json\r\n"
)


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, object]]:
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        return int(head.split()[1]), json.loads(await reader.readexactly(length))


@contextlib.asynccontextmanager
async def connected(
    url: str, sent: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent.encode())
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_whole_body_in_chunks_is_taken(make_app: AppFactory) -> None:
    chunks = "".join(
        f"{len(c):x}\r\n{c}\r\n" for c in (CANONICAL[:700].decode(), CANONICAL[700:].decode())
    )
    async with (
        serving(make_app(), listen()) as url,
        connected(url, HEAD + "Transfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n") as (
            reader,
            _,
        ),
    ):
        assert (await answer_of(reader))[0] == 201


async def test_an_endless_head_is_cut(make_app: AppFactory) -> None:
    async with (
        serving(make_app(), listen()) as url,
        connected(url, HEAD + "X-Long: " + "x" * HEAD_LIMIT_BYTES) as (reader, _),
    ):
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 431")


async def test_an_offer_to_upgrade_is_passed_over(make_app: AppFactory) -> None:
    """Some clients offer HTTP/2 with their first request."""
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    length = f"Content-Length: {len(CANONICAL)}\r\n\r\n"
    async with (
        serving(make_app(), listen()) as url,
        connected(url, HEAD + offer + length + CANONICAL.decode()) as (reader, _),
    ):
        assert (await answer_of(reader))[0] == 201


async def test_a_flood_without_a_length_is_cut_at_the_limit(make_app: AppFactory) -> None:
    async with (
        serving(make_app(), listen()) as url,
        connected(url, HEAD + "Transfer-Encoding: chunked\r\n\r\n") as (reader, writer),
    ):
        piece = b"10000\r\n" + b"[" * 65536 + b"\r\n"
        for _ in range(5):
            writer.write(piece)
        status, problem = await answer_of(reader)
        assert (status, problem["code"]) == (413, "body_too_large")


async def test_an_announced_flood_is_refused_before_it_is_sent(make_app: AppFactory) -> None:
    async with (
        serving(make_app(), listen()) as url,
        connected(url, HEAD + "Content-Length: 10000000\r\n\r\n") as (reader, _),
    ):
        status, problem = await answer_of(reader)
        assert (status, problem["code"]) == (413, "body_too_large")


async def test_a_slow_body_is_cut_off(make_app: AppFactory, jobs: FakeJobs) -> None:
    async with (
        serving(make_app(body_deadline_s=0.05), listen()) as url,
        connected(url, HEAD + f"Content-Length: {len(CANONICAL)}\r\n\r\n{{") as (reader, _),
    ):
        status, problem = await answer_of(reader)
        assert (status, problem["code"]) == (408, "body_too_slow")
        assert jobs.calls == []


async def test_a_body_that_breaks_off_harms_nobody(make_app: AppFactory, jobs: FakeJobs) -> None:
    async with serving(make_app(), listen()) as url:
        async with connected(url, HEAD + "Content-Length: 5000\r\n\r\n{"):
            pass
        async with connected(url, HEAD + f"Content-Length: {len(CANONICAL)}\r\n\r\n") as (
            reader,
            writer,
        ):
            writer.write(CANONICAL)
            assert (await answer_of(reader))[0] == 201
    assert len(jobs.calls) == 1


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_reader_that_leaves_or_stalls_frees_its_slot(
    make_app: AppFactory, jobs: FakeJobs, leaves: bool
) -> None:
    text = "x" * 100_000
    jobs.add(job("a"), *(event(n, text=text) for n in range(1, 200)))
    app = make_app(max_streams=1, stream_stall_s=0.1)
    streams = app.state.context.streams
    ask = "GET /train/a/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer reader-token\r\n\r\n"
    async with serving(app, listen()) as url, connected(url, ask) as (reader, writer):
        async with asyncio.timeout(10):
            await reader.readuntil(b"id: 1\n")
        assert streams.open_count == 1
        if leaves:
            writer.close()
        await until(lambda: not streams.open_count)
