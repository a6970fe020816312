"""The audit log at the door: who may read it, how it is asked, and what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import ADMIN, READER, TOKENS, WRITER, FakeJobs, count_jobs
from tunegate.contract.audit import AuditHead
from tunegate.control.audit import AuditFilter
from tunegate.control.refusals import KINDS_KEPT, Refusal, Refusals
from tunegate.http.app import create_app
from tunegate.http.auth import Authenticator
from tunegate.http.facade import Context
from tunegate.http.meters import Meters
from tunegate.http.settings import ServerSettings
from tunegate.http.streams import Streams


class FakeAudit:
    def __init__(self) -> None:
        self.refusals = Refusals()
        self.asked: list[tuple[AuditFilter, int, int]] = []

    async def head(self) -> AuditHead:
        return AuditHead(sequence=2, hash="ab" * 32)

    async def page(self, wanted: AuditFilter, after: int, limit: int) -> list[tuple[int, bytes]]:
        self.asked.append((wanted, after, limit))
        return [(1, b'{"sequence":1}'), (2, b'{"sequence":2}')]


@pytest.fixture
def audit() -> FakeAudit:
    return FakeAudit()


@pytest.fixture
async def door(audit: FakeAudit) -> AsyncIterator[AsyncTestClient[Litestar]]:
    server = ServerSettings(access_log=False)
    jobs: Any = FakeJobs()
    context = Context(jobs, server, Streams(10), Meters(count_jobs), audit=audit)
    app = create_app(context, Authenticator(TOKENS, metrics_open=False))
    async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
        yield client


async def test_entries_are_the_very_lines(
    door: AsyncTestClient[Litestar], audit: FakeAudit
) -> None:
    query = "tenant=acme&kind=job.&since=2030-01-01T00:00:00Z&until=2030-01-01T01:00:00%2B01:00&after=7&limit=2"
    answer = await door.get(f"/audit?{query}", headers=ADMIN)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.content == b'{"sequence":1}\n{"sequence":2}\n'
    moment_ms = 1_893_456_000_000
    wanted = AuditFilter(tenant="acme", kind="job.", since_ms=moment_ms, until_ms=moment_ms)
    assert audit.asked == [(wanted, 7, 2)]


async def test_the_head_can_be_noted(door: AsyncTestClient[Litestar]) -> None:
    answer = await door.get("/audit/head", headers=ADMIN)
    assert answer.json() == {"sequence": 2, "hash": "ab" * 32}


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=2030-01-01T00:00:00", "kind=Job", "limit=0", "limit=1001"]
)
async def test_a_wrong_question_is_refused(door: AsyncTestClient[Litestar], query: str) -> None:
    answer = await door.get(f"/audit?{query}", headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


async def test_refused_calls_are_counted_by_holder_and_route(
    door: AsyncTestClient[Litestar], audit: FakeAudit
) -> None:
    for _ in range(3):
        await door.get("/train/some-job", headers={"authorization": "Bearer guess"})
    await door.get("/audit", headers=WRITER)
    await door.delete("/train/some-job", headers=READER)
    await door.get("/train", headers=WRITER)
    told: list[dict[str, Any]] = [happening.data for happening in audit.refusals.drain()]
    assert [(d["status"], d["method"], d["route"], d["count"]) for d in told] == [
        (401, "GET", "/train/{job_id}", 3),
        (403, "GET", "/audit", 1),
        (403, "DELETE", "/train/{job_id}", 1),
    ]
    assert audit.refusals.drain() == []


def test_many_kinds_of_refusals_stay_few_lines() -> None:
    refusals = Refusals()
    for number in range(1000):
        refusals.note(Refusal(401, "GET", f"/r{number}", "", ""))
    told = refusals.drain()
    assert len(told) == KINDS_KEPT + 1
    assert sum(int(happening.data["count"] or 0) for happening in told) == 1000
