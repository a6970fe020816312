"""Two gateways on one PostgreSQL: any of them serves any request, and what one leaves the other takes up."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.api import Api
from support.replicas import LEASE_S, Replicas, stream_events
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.postgres_server import PostgresServer
from tunegate.sdk.testing.receiver import WebhookReceiver, webhook_receiver

pytestmark = pytest.mark.slow
TAKE_OVER_S = 15.0


@pytest.fixture
async def replicas(postgres_server: PostgresServer, tmp_path: Path) -> AsyncGenerator[Replicas]:
    async with Replicas(tmp_path, postgres_server.create_database(), 2).running() as running:
        yield running


class Watcher:
    """Follows a job over SSE and comes back where it was cut."""

    def __init__(self, gateway: GatewayProcess, job_id: str) -> None:
        self.events: list[dict[str, Any]] = []
        self.news = asyncio.Condition()
        self._gateway = gateway
        self._job_id = job_id
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        stream = stream_events(self._gateway.url, self._gateway.token, self._job_id)
        async with aclosing(stream):
            async for event in stream:
                self.events.append(event)
                async with self.news:
                    self.news.notify_all()

    def check(self) -> None:
        """Every event once, in order, to the end of the job."""
        numbers = [event["sequence"] for event in self.events]
        assert numbers == list(range(1, len(numbers) + 1))
        assert self.events[-1]["status"] == "succeeded"


async def progress_after(watcher: Watcher, seen: int, limit_s: float) -> float:
    """Seconds until the watcher has heard more steps than it had."""
    began_s = time.monotonic()
    async with asyncio.timeout(limit_s), watcher.news:
        await watcher.news.wait_for(lambda: metrics(watcher) > seen)
    return time.monotonic() - began_s


async def finish(api: Api, receiver: WebhookReceiver, watcher: Watcher, job_id: str) -> None:
    """The end as everybody must see it."""
    job = await api.wait(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1), job
    await receiver.wait_for(job_id, "succeeded")
    async with asyncio.timeout(10):
        await watcher.task
    watcher.check()
    await asyncio.sleep(0.5)  # a webhook that comes twice would come now
    assert receiver.statuses(job_id) == ["queued", "running", "succeeded"]


def metrics(watcher: Watcher) -> int:
    return sum(event["type"] == "job.metrics" for event in watcher.events)


async def test_any_replica_serves_any_request(replicas: Replicas) -> None:
    first, second = replicas.gateways
    async with (
        webhook_receiver() as receiver,
        Api(first.url, first.token) as a,
        Api(second.url, second.token) as b,
    ):
        body = replicas.body("shared", steps=8, seconds_per_step=0.2)
        body["callbacks"] = {"webhook_url": receiver.url}
        await a.submit(body)
        status, again = await b.call("POST", "/train", json=body)
        assert (status, again["job_id"]) == (200, "shared")
        watcher = Watcher(second, "shared")
        await finish(b, receiver, watcher, "shared")
        for api in (a, b):
            status, log = await api.call("GET", "/train/shared/logs")
            assert status == 200
            assert "step 8 of 8" in log
            status, files = await api.call("GET", "/train/shared/artifacts")
            assert (status, [f["path"] for f in files["data"]]) == (200, ["result.json"])
        await b.submit(replicas.body("stopped", steps=500, seconds_per_step=0.2))
        await a.wait("stopped", status={"running"})
        assert (await a.call("POST", "/train/stopped/cancel"))[0] in {200, 202}
        assert (await b.wait("stopped"))["status"] == "cancelled"
        assert (await a.call("DELETE", "/train/shared"))[0] == 204
        assert (await b.call("GET", "/train/shared"))[0] == 404


async def test_a_killed_replica_s_job_is_taken_over(replicas: Replicas) -> None:
    first, second = replicas.gateways
    async with webhook_receiver() as receiver, Api(second.url, second.token) as api:
        body = replicas.body("orphan", steps=20, seconds_per_step=0.2)
        body["callbacks"] = {"webhook_url": receiver.url}
        async with Api(first.url, first.token) as front:
            await front.submit(body)
        watcher = Watcher(second, "orphan")
        await api.wait("orphan", status={"running"})
        await receiver.wait_for("orphan", "running")
        seen = replicas.trainers()
        await first.kill()
        took_s = await progress_after(watcher, metrics(watcher), TAKE_OVER_S)
        await finish(api, receiver, watcher, "orphan")
        assert len(seen | replicas.trainers()) == 1
        assert took_s <= TAKE_OVER_S


@pytest.mark.parametrize("moment", ["before it is launched", "while it runs"])
async def test_a_frozen_replica_s_job_is_taken_over(
    replicas: Replicas, postgres_server: PostgresServer, moment: str
) -> None:
    first, second = replicas.gateways
    async with webhook_receiver() as receiver, Api(second.url, second.token) as api:
        body = replicas.body("frozen", steps=30, seconds_per_step=0.2)
        body["callbacks"] = {"webhook_url": receiver.url}
        async with Api(first.url, first.token) as front:
            await front.submit(body)
        if moment == "while it runs":
            await api.wait("frozen", status={"running"})
            await receiver.wait_for("frozen", "running")
        first.freeze()
        replicas.balance(second)
        watcher = Watcher(second, "frozen")
        took_s = await progress_after(watcher, metrics(watcher), TAKE_OVER_S + 5)
        seen = replicas.trainers()
        await asyncio.sleep(max(0.0, 2 * LEASE_S - took_s))
        first.thaw()
        await finish(api, receiver, watcher, "frozen")
        assert len(seen | replicas.trainers()) == 1
        assert took_s <= TAKE_OVER_S


async def test_every_job_ends_once_however_replicas_come_and_go(
    replicas: Replicas,
) -> None:
    first, second = replicas.gateways
    async with Api(second.url, second.token) as api:
        for number in range(8):
            front = (first, second)[number % 2]
            async with Api(front.url, front.token) as each:
                await each.submit(replicas.body(f"job-{number}", steps=6, seconds_per_step=0.2))
        for gateway in (first, second):
            gateway.freeze()
            replicas.balance(second if gateway is first else first)
            await asyncio.sleep(1.5 * LEASE_S)
            gateway.thaw()
            replicas.balance(first, second)
        for number in range(8):
            job = await api.wait(f"job-{number}", timeout_s=60)
            assert (job["status"], job["attempt"]) == ("succeeded", 1), job
            events = await api.events(f"job-{number}")
            assert [e["sequence"] for e in events] == list(range(1, len(events) + 1))


async def test_no_password_is_shown(postgres_server: PostgresServer, tmp_path: Path) -> None:
    url = postgres_server.create_database()
    password = "hunter2-canary"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE teller LOGIN SUPERUSER PASSWORD '{password}'")
    secret = url.replace("postgres@", f"teller:{password}@")
    async with Replicas(tmp_path, secret, 1).running() as replicas:
        [gateway] = replicas.gateways
        async with Api(gateway.url, gateway.token) as api:
            await api.submit(replicas.body("told", steps=1))
            await api.wait("told")
        await gateway.stop()
        assert "gateway_started" in gateway.log_file.read_text()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert password.encode() not in file.read_bytes(), file
