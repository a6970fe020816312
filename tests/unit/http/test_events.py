import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import READER, FakeJobs, event, job
from tunegate.http.sse import event_stream
from tunegate.http.streams import Streams
from tunegate.sdk.errors import TunegateError

from .conftest import AppFactory

Client = AsyncTestClient[Litestar]
SSE = READER | {"accept": "text/event-stream"}


def ids(text: str) -> list[int]:
    return [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]


async def test_a_finished_job_is_replayed_and_the_stream_ends(
    client: Client, jobs: FakeJobs
) -> None:
    jobs.add(job("a", status="succeeded"), event(1, "queued"), event(2), event(3, "succeeded"))
    answer = await client.get("/train/a/events", headers=SSE)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: ")
    assert ids(answer.text) == [1, 2, 3]
    assert "event: job.status\ndata: {" in answer.text


@pytest.mark.parametrize(
    ("headers", "query"), [({"last-event-id": "2"}, ""), ({}, "?after=2"), ({"last-event-id": "2"}, "?after=1")]
)  # fmt: skip
async def test_only_what_was_missed_comes(
    client: Client, jobs: FakeJobs, headers: dict[str, str], query: str
) -> None:
    jobs.add(job("a", status="failed"), event(1), event(2), event(3, "failed"))
    answer = await client.get(f"/train/a/events{query}", headers=SSE | headers)
    assert ids(answer.text) == [3]


async def test_204_when_nothing_will_come(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a", status="failed"), event(1, "failed"))
    answer = await client.get("/train/a/events", headers=SSE | {"last-event-id": "1"})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "²", "9" * 30])
async def test_a_bad_last_event_id_is_refused(client: Client, jobs: FakeJobs, given: str) -> None:
    jobs.add(job("a"), event(1))
    headers: dict[str, Any] = SSE | {"last-event-id": given.encode()}
    answer = await client.get("/train/a/events", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


async def test_pages_for_who_asks_for_json(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a"), event(1), event(2), event(3))
    headers = READER | {"accept": "application/json"}
    page = (await client.get("/train/a/events?after=1&limit=1", headers=headers)).json()
    assert [e["sequence"] for e in page["data"]] == [2]
    assert page["has_more"] is True
    none = (await client.get("/train/a/events?types=job.note,job.phase", headers=headers)).json()
    assert none == {"data": [], "has_more": False}


async def test_events_come_as_they_happen_with_signs_of_life_between(jobs: FakeJobs) -> None:
    jobs.add(job("a"), event(1))
    events = jobs.follow_events(None, "a", 0)
    frames = event_stream(Streams(1), events, ping_s=0.001)
    assert (await anext(frames)).startswith(b"retry")
    assert (await anext(frames)).startswith(b"id: 1\n")
    assert await anext(frames) == b": ping\n\n"
    jobs.grow("a", event(2, "succeeded"))
    rest = [frame async for frame in frames]
    assert [frame[:6] for frame in rest if not frame.startswith(b":")] == [b"id: 2\n"]


async def test_streams_end_when_the_gateway_closes(jobs: FakeJobs) -> None:
    jobs.add(job("a"), event(1))
    streams = Streams(1)
    frames = event_stream(streams, jobs.follow_events(None, "a", 0), ping_s=60)
    assert [await anext(frames), await anext(frames)]
    streams.close()
    assert [frame async for frame in frames] == []


async def test_a_dropped_stream_lets_go_of_its_source() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[Any]:
        try:
            while True:
                await asyncio.Event().wait()
                yield
        finally:
            closed.set()

    streams = Streams(1)
    scope: Any = {"state": {}}
    frames = streams.open(scope, event_stream(streams, endless(), ping_s=0.001))
    assert [await anext(frames) for _ in range(2)][1] == b": ping\n\n"
    await streams.release(scope)
    assert closed.is_set()
    assert streams.open_count == 0


async def test_no_more_streams_than_allowed() -> None:
    async def nothing() -> Any:
        yield b""

    streams = Streams(1)
    first: Any = {"state": {}}
    streams.open(first, nothing())
    with pytest.raises(TunegateError, match="too_many_streams"):
        streams.open({"state": {}}, nothing())  # type: ignore[typeddict-item]
    await streams.release(first)
    streams.open({"state": {}}, nothing())  # type: ignore[typeddict-item]


async def test_too_many_streams_is_429(make_app: AppFactory, jobs: FakeJobs) -> None:
    jobs.add(job("a"), event(1))
    app = make_app(max_streams=1)
    app.state.context.streams.open_count = 1
    async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
        answer = await client.get("/train/a/events", headers=SSE)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
    assert "retry-after" in answer.headers


async def test_a_stream_gives_its_slot_back(make_app: AppFactory, jobs: FakeJobs) -> None:
    jobs.add(job("a", status="failed"), event(1, "failed"))
    app = make_app(max_streams=1)
    async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
        for _ in range(3):
            assert (await client.get("/train/a/events", headers=SSE)).status_code == 200
            assert (await client.get("/train/a/logs", headers=READER)).status_code == 200
    assert app.state.context.streams.open_count == 0


async def test_logs_are_text_from_an_offset(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a"))
    answer = await client.get("/train/a/logs?offset=5", headers=READER)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "one\nline two\n"
    with contextlib.suppress(RuntimeError):
        jobs.grown.set()
    assert (await client.get("/train/a/logs?follow=true", headers=READER)).text.endswith("three\n")


async def test_a_bad_offset_is_refused(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a"))
    assert (await client.get("/train/a/logs?offset=-1", headers=READER)).status_code == 400
