"""Raw bytes on real sockets: requests that two readers could read in two ways, and connections held for nothing."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator

import pytest

from support.door import CANONICAL, FakeJobs, event, job
from support.server import listen, serving
from tunegate.http import protocol
from tunegate.http.protocol import HEADERS_MOST, PIPELINE_MOST, Limits

from .conftest import AppFactory

HOST = b"Host: 127.0.0.1\r\n"
AUTH = b"Authorization: Bearer writer-token\r\n"
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /train HTTP/1.1\r\n" + HOST + AUTH + JSON
GET = b"GET /train HTTP/1.1\r\n" + HOST + AUTH
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SECOND = b"GET /train/smuggled HTTP/1.1\r\n" + HOST + AUTH + b"\r\n"

STATUS_LINE = re.compile(rb"HTTP/1\.1 \d{3} ")
AMBIGUOUS = {
    "length and chunks": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + SECOND,
    "chunks and length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + SECOND,
    "one length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + SECOND,
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 50\r\n\r\n{}" + SECOND,
    "list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "space before the colon": POST + b"Content-Length : 2\r\n\r\n{}",
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n{}",
    "chunks are not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "compressed chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "two codings": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n",
    "folded header": GET + b"X-A: b\r\n c: d\r\n\r\n",
    "bare line feeds": b"GET /train HTTP/1.1\nHost: 127.0.0.1\nAuthorization: Bearer writer-token\n\n",
    "one bare line feed": b"GET /train HTTP/1.1\r\nHost: 127.0.0.1\n" + AUTH + b"\r\n",
    "bare carriage return": GET + b"X-A: b\rX-C: d\r\n\r\n",
    "NUL in a header": GET + b"X-A: b\0\r\n\r\n",
    "broken chunk length": POST + CHUNKED + b"\r\n2x\r\n{}\r\n0\r\n\r\n",
    "chunk ends in a line feed": POST + CHUNKED + b"\r\n2\n{}\n0\n\n",
    "negative chunk": POST + CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "endless chunk": POST + CHUNKED + b"\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "two hosts": b"GET /train HTTP/1.1\r\nHost: evil.example\r\n" + HOST + AUTH + b"\r\n",
    "two tokens": GET + b"Authorization: Bearer reader-token\r\n\r\n",
    "another host in the address": b"GET http://evil.example/train HTTP/1.1\r\n" + HOST + AUTH + b"\r\n",
    "tunnel": b"CONNECT evil.example:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /train\r\n\r\n",
    "HTTP/1.2": GET.replace(b"1.1", b"1.2") + b"\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no such method": GET.replace(b"GET", b"FOO") + b"\r\n",
    "method in lower case": GET.replace(b"GET", b"get") + b"\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
    "bytes beyond ASCII in the path": "GET /träin HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n",
}  # fmt: skip

PATHS = [
    "//train", "/train//a", "/train/../metrics", "/train/%2e%2e/metrics", "/train/./a", "/%74rain", "/train%2fa",
    "/train/a%2fcancel", "/train/%00", "/train/a%00", "/train/a;b", "/train;a=b", "/train/%ff", "/train/%C0%AE",
    "/train/%zz", "/internal/../metrics", "/train/\\..\\a", "/schema/..%2f..%2fetc%2fpasswd", "/TRAIN", "/.", "/..",
    "/train/a%0d%0aX-A:%20b", "/train/a%20b",
]  # fmt: skip


@contextlib.asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def all_of(url: str, sent: bytes) -> bytes:
    """All that comes back until the gateway closes."""
    async with connection(url) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(10):
            return await reader.read()


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(
    make_app: AppFactory, jobs: FakeJobs, name: str
) -> None:
    async with serving(make_app(), listen()) as url:
        answer = await all_of(url, AMBIGUOUS[name])
    assert len(STATUS_LINE.findall(answer)) == 1, "nothing behind it is answered"
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == 400
    assert json.loads(body)["code"] == "bad_http"
    assert b"connection: close" in head
    assert b"evil" not in answer
    assert not jobs.calls


@pytest.mark.parametrize("path", PATHS)
async def test_paths_have_one_spelling(make_app: AppFactory, jobs: FakeJobs, path: str) -> None:
    jobs.add(job("a"))
    async with serving(make_app(), listen()) as url:
        ask = GET.replace(b"/train", path.encode()) + b"Connection: close\r\n\r\n"
        answer = await all_of(url, ask)
    assert answer.split()[1] == b"404"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "not_found"


async def test_trailers_are_no_headers(make_app: AppFactory) -> None:
    body = CHUNKED + b"\r\n%x\r\n%s\r\n0\r\n" % (len(CANONICAL), CANONICAL)
    trailers = b"Host: evil.example\r\nAuthorization: Bearer wrong\r\nOrigin: http://evil\r\n\r\n"
    async with serving(make_app(), listen()) as url, connection(url) as (reader, writer):
        writer.write(POST + body + trailers)
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1] == b"201"


async def test_old_and_full_forms_are_taken(make_app: AppFactory) -> None:
    async with serving(make_app(), listen()) as url:
        assert (await all_of(url, GET.replace(b"1.1", b"1.0") + b"\r\n")).split()[1] == b"200"
        full = GET.replace(b"/train", b"http://127.0.0.1/train") + b"Connection: close\r\n\r\n"
        assert (await all_of(url, full)).split()[1] == b"200"


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE"]
)  # fmt: skip
async def test_the_method_is_the_method(make_app: AppFactory, jobs: FakeJobs, header: str) -> None:
    jobs.add(job("a"))
    ask = GET.replace(b"/train", b"/train/a") + header.encode() + b"\r\nConnection: close\r\n\r\n"
    async with serving(make_app(), listen()) as url:
        assert (await all_of(url, ask)).split()[1] == b"200"
    assert "a" in jobs.jobs


@pytest.mark.parametrize("path", ["/healthz", "/train", "/train/a", "/train/a/events", "/schema"])
async def test_head_is_get_without_a_body(make_app: AppFactory, jobs: FakeJobs, path: str) -> None:
    jobs.add(job("a"), event(1))
    app = make_app()
    ask = GET.replace(b"GET /train", b"HEAD " + path.encode()) + b"Connection: close\r\n\r\n"
    async with serving(app, listen()) as url:
        answer = await all_of(url, ask)
    head, end, body = answer.partition(b"\r\n\r\n")
    assert (head.split()[1], end, body) == (b"200", b"\r\n\r\n", b"")
    assert app.state.context.streams.open_count == 0


async def test_many_headers_are_too_many(make_app: AppFactory) -> None:
    many = b"".join(b"X-%d: a\r\n" % n for n in range(HEADERS_MOST))
    async with serving(make_app(), listen()) as url:
        assert (await all_of(url, GET + many + b"\r\n")).split()[1] == b"431"


async def test_a_long_head_in_one_piece_is_too_long(make_app: AppFactory) -> None:
    async with serving(make_app(), listen()) as url:
        sent = GET + b"X-Long: " + b"x" * protocol.HEAD_LIMIT_BYTES + b"\r\n\r\n"
        assert (await all_of(url, sent)).split()[1] == b"431"


async def test_who_asks_without_listening_is_cut(make_app: AppFactory) -> None:
    async with serving(make_app(), listen()) as url:
        await all_of(url, (GET + b"\r\n") * (PIPELINE_MOST + 50))


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET /train HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", b"\r\n", b"\r\n\r\n"],
)
async def test_a_head_that_does_not_come_is_cut(make_app: AppFactory, sent: bytes) -> None:
    async with serving(make_app(), listen(), Limits(head_s=0.1)) as url:
        answer = await all_of(url, sent)
    assert not answer or answer.split()[1] == b"408"


async def test_a_head_that_drips_is_cut(make_app: AppFactory) -> None:
    """Each byte by itself is in time; the head as a whole is not."""
    async with serving(make_app(), listen(), Limits(head_s=0.2)) as url:  # noqa: SIM117
        async with connection(url) as (reader, writer):
            writer.write(GET)

            async def drip() -> None:
                while True:
                    writer.write(b"X-Drip: a\r\n")
                    await asyncio.sleep(0.01)

            dripping = asyncio.create_task(drip())
            answer = b"- 408"  # a reset may come before it, as more was sent than was read
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(5):
                    answer = await reader.read()
            dripping.cancel()
    assert answer.split()[1] == b"408"


async def test_the_second_head_has_a_deadline_too(make_app: AppFactory) -> None:
    async with (
        serving(make_app(), listen(), Limits(head_s=0.1)) as url,
        connection(url) as (
            reader,
            writer,
        ),
    ):
        writer.write(GET + b"\r\n")
        await reader.readuntil(b"has_more")
        writer.write(b"GET /train")
        async with asyncio.timeout(5):
            assert b"408" in await reader.read()


async def test_a_body_that_nobody_reads_does_not_hold_the_connection(
    make_app: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "DRAIN_S", 0.1)
    async with serving(make_app(), listen()) as url, connection(url) as (reader, writer):
        writer.write(GET + b"Content-Length: 1000000\r\nContent-Type: application/json\r\n\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        answer = await reader.readuntil(b"has_more")
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                await reader.read()
        dripping.cancel()
    assert answer.split()[1] == b"200"


async def test_a_client_that_does_not_take_its_answer_is_cut(
    make_app: AppFactory, jobs: FakeJobs
) -> None:
    for number in range(200):
        jobs.add(job(f"a{number}", detail="x" * 20_000))
    app = make_app()
    async with serving(app, listen(), Limits(answer_stall_s=0.1)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.sendall(GET + b"\r\n")
            client.setblocking(False)
            await asyncio.sleep(0.3)
            received = 0
            with contextlib.suppress(ConnectionResetError, TimeoutError):
                async with asyncio.timeout(2):
                    while piece := await asyncio.get_running_loop().sock_recv(client, 65536):
                        received += len(piece)
    assert received < 3_900_000


async def test_at_the_limit_idle_connections_make_room_and_busy_ones_do_not(
    make_app: AppFactory, jobs: FakeJobs
) -> None:
    jobs.add(job("a"), event(1))
    stream = GET.replace(b"/train", b"/train/a/events") + b"\r\n"
    async with serving(make_app(), listen(), Limits(connections=2)) as url:  # noqa: SIM117
        async with connection(url) as (idle, idle_writer), connection(url) as (busy, busy_writer):
            idle_writer.write(GET + b"\r\n")
            await idle.readuntil(b"has_more")
            busy_writer.write(stream)
            await busy.readuntil(b"id: 1\n")
            async with connection(url) as (third, third_writer):
                third_writer.write(stream)
                await third.readuntil(b"id: 1\n")
                async with asyncio.timeout(5):
                    await idle.read()  # closed for the third
                refused = await all_of(url, b"")
    assert refused.split()[1] == b"503"
    assert b"retry-after: 1" in refused


async def test_slow_senders_take_up_nobodys_place(make_app: AppFactory) -> None:
    app = make_app(max_requests=2)
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(app, listen()))
        for _ in range(5):
            _, writer = await stack.enter_async_context(connection(url))
            writer.write(POST + b"Content-Length: 100\r\n\r\n{")
        await asyncio.sleep(0.1)
        answer = await all_of(url, GET + b"Connection: close\r\n\r\n")
        assert answer.split()[1] == b"200"
    assert app.state.pressure.requests == 0


async def test_healthy_clients_do_not_feel_slow_ones(make_app: AppFactory) -> None:
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(make_app(), listen(), Limits(head_s=0.3)))
        for _ in range(200):
            _, writer = await stack.enter_async_context(connection(url))
            writer.write(b"POST /train HTTP/1.1\r\nX-Slow: ")
        loop = asyncio.get_running_loop()
        for _ in range(20):
            began_s = loop.time()
            answer = await all_of(url, GET + b"Connection: close\r\n\r\n")
            assert answer.split()[1] == b"200"
            assert loop.time() - began_s < 2


async def test_a_broken_request_is_no_reason_to_write_a_log_line(
    make_app: AppFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(make_app(), listen()) as url:
        await all_of(url, b"\0" * 50)
    assert not caplog.records
