"""Both clients against the real door, over a real socket."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from support.door import CANONICAL, TOKENS, FakeJobs, count_jobs, event, job
from support.server import listen, serving
from tunegate.client import (
    ApiError,
    AsyncClient,
    Client,
    Conflict,
    Forbidden,
    GatewayUnreachable,
    InvalidRequest,
    NotFound,
    Retrying,
    Unauthorized,
)
from tunegate.contract.decode import decode_request
from tunegate.contract.job import JobEvent
from tunegate.http.app import create_app
from tunegate.http.auth import Authenticator
from tunegate.http.facade import Context
from tunegate.http.meters import Meters
from tunegate.http.settings import ServerSettings
from tunegate.http.streams import Streams

QUICK = Retrying(first_s=0.001, longest_s=0.002)


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest_asyncio.fixture
async def url(jobs: FakeJobs) -> AsyncGenerator[str]:
    server = ServerSettings(access_log=False)
    context = Context(jobs, server, Streams(9), Meters(count_jobs))
    async with serving(
        create_app(context, Authenticator(TOKENS, metrics_open=False)), listen()
    ) as address:
        yield address


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(url, "writer-token", retrying=QUICK) as opened:
        yield opened


async def test_a_submission_is_typed_and_may_be_repeated(client: AsyncClient) -> None:
    request = decode_request(CANONICAL)
    first = await client.submit(request)
    assert (await client.submit(request)).job_id == first.job_id == request.job_id
    assert (await client.get(first.job_id)).status == "queued"


async def test_a_submission_carries_its_secrets(client: AsyncClient, jobs: FakeJobs) -> None:
    request = decode_request(CANONICAL)
    await client.submit(request)
    assert jobs.requests[request.job_id] == request


async def test_errors_are_typed_and_advise(client: AsyncClient, url: str, jobs: FakeJobs) -> None:
    with pytest.raises(NotFound, match="Check the job_id") as missing:
        await client.get("nobody")
    assert (missing.value.code, missing.value.status) == ("job_not_found", 404)
    with pytest.raises(InvalidRequest) as wrong:
        await client.submit({"job_id": 1})
    assert any(each.path == "$.job_id" for each in wrong.value.errors)
    with pytest.raises(InvalidRequest) as alone:
        await client.submit({**msgspec.json.decode(CANONICAL), "metadata": 1})
    assert str(alone.value).count("$.metadata") == 1
    await client.submit(decode_request(CANONICAL))
    other = {**msgspec.json.decode(CANONICAL), "metadata": {"a": "b"}}
    with pytest.raises(Conflict):
        await client.submit(other)
    async with AsyncClient(url, "nobody", retrying=QUICK) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.get("a")
    async with AsyncClient(url, "reader-token", retrying=QUICK) as reader:
        with pytest.raises(Forbidden):
            await reader.cancel("a")


async def test_events_are_given_once_and_to_the_end(client: AsyncClient, jobs: FakeJobs) -> None:
    jobs.add(job("a"), event(1), event(2))
    seen: list[int] = []
    async for each in client.events("a"):
        seen.append(each.sequence)
        if each.sequence == 2:
            jobs.jobs["a"] = job("a", status="succeeded")
            jobs.grow("a", event(3, "succeeded"))
    assert seen == [1, 2, 3]
    assert [each.sequence async for each in client.events("a", after=2)] == [3]


async def test_logs_to_the_end(client: AsyncClient, jobs: FakeJobs) -> None:
    jobs.add(job("a", status="succeeded"))
    assert "".join([piece async for piece in client.logs("a")]) == "line one\nline two\n"
    jobs.grown.set()
    followed = "".join([piece async for piece in client.logs("a", follow=True, offset=9)])
    assert followed.startswith("line two\nline three\n")


async def test_the_sync_client_does_the_same(url: str, jobs: FakeJobs) -> None:
    jobs.add(job("a", status="succeeded"), event(1), event(2, "succeeded"))

    def use() -> tuple[Any, ...]:
        with Client(url, "writer-token", retrying=QUICK) as client:
            events = [each.sequence for each in client.events("a")]
            names = [each.name for each in client.backends().data]
            return events, names, client.wait("a").status, [j.job_id for j in client.jobs(limit=1)]

    assert await asyncio.to_thread(use) == ([1, 2], ["qlora"], "succeeded", ["a"])


async def test_nobody_there() -> None:
    async with AsyncClient("http://127.0.0.1:1", "t", retrying=QUICK) as client:
        with pytest.raises(GatewayUnreachable, match=r"http://127\.0\.0\.1:1"):
            await client.get("a")


def answering(
    *answers: httpx.Response | Exception,
) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A gateway that gives these answers in turn, for what the real one does only in trouble."""
    seen: list[httpx.Request] = []
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        given = left.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    return httpx.MockTransport(answer), seen


def sse(*events: JobEvent) -> bytes:
    return b"retry: 1\n\n" + b"".join(
        f"id: {e.sequence}\ndata: ".encode() + msgspec.json.encode(e) + b"\n\n" for e in events
    )


def test_a_broken_stream_is_taken_up_after_the_last_event() -> None:
    transport, seen = answering(
        httpx.Response(200, content=sse(event(1), event(2)) + b"id: 3\ndata: {"),
        httpx.ReadError("gone"),
        httpx.Response(503, headers={"retry-after": "0"}),
        httpx.Response(200, content=sse(event(2), event(3, "succeeded"))),
        httpx.Response(204),
    )
    with Client("http://h", "t", retrying=QUICK, transport=transport) as client:
        assert [e.sequence for e in client.events("a")] == [1, 2, 3]
    assert [r.headers.get("last-event-id") for r in seen] == [None, "2", "2", "2", "3"]


def test_a_retried_job_s_first_end_is_not_the_end() -> None:
    transport, _ = answering(
        httpx.Response(200, content=sse(event(1, "failed"))),
        httpx.Response(200, content=sse(event(2), event(3, "succeeded"))),
        httpx.Response(204),
    )
    with Client("http://h", "t", retrying=QUICK, transport=transport) as client:
        assert [e.sequence for e in client.events("a")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "headers", "tries"),
    [
        (503, {}, 5),
        (503, {"retry-after": "0"}, 5),
        (503, {"retry-after": "3600"}, 1),
        (503, {"x-should-retry": "false"}, 1),
        (404, {}, 1),
        (404, {"x-should-retry": "true"}, 5),
        (502, {}, 5),
    ],
)
def test_what_is_asked_again(status: int, headers: dict[str, str], tries: int) -> None:
    transport, seen = answering(*[httpx.Response(status, headers=headers)] * 5)
    client = Client("http://h", "t", retrying=QUICK, transport=transport)
    with client, pytest.raises(ApiError, match=f"http_{status}"):
        client.get("a")
    assert len(seen) == tries


def test_what_is_not_safe_is_not_repeated_blindly() -> None:
    transport, seen = answering(httpx.ReadTimeout("slow"), httpx.Response(200))
    client = Client("http://h", "t", retrying=QUICK, transport=transport)
    with client, pytest.raises(GatewayUnreachable):
        client.retry("a")
    assert len(seen) == 1


def test_a_deletion_whose_answer_was_lost() -> None:
    transport, _ = answering(httpx.ReadError("gone"), httpx.Response(404))
    with Client("http://h", "t", retrying=QUICK, transport=transport) as client:
        client.delete("a")


def test_wait_gives_up() -> None:
    transport, _ = answering(*[httpx.Response(200, content=msgspec.json.encode(job("a")))] * 9)
    client = Client("http://h", "t", transport=transport)
    with client, pytest.raises(TimeoutError, match="queued"):
        client.wait("a", timeout_s=0)
