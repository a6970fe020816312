"""PostgreSQL crashes below three gateways under load: nothing acknowledged is lost, no job runs twice, service is back soon."""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import psycopg
import pytest

from faults.report import write
from faults.store.rounds import CRASHES
from support.api import Api
from support.replicas import Replicas
from tunegate.sdk.testing.postgres_server import PostgresServer

pytestmark = pytest.mark.slow
CLIENTS = 3
PAUSE_S = 1.0
"""Between two jobs of a client: their runs are real processes, and all must have ended in the end."""
SERVICE_S = 2.0
STILL_S = 120.0
"""A machine with much else to do works off the last jobs for long, but not without one that ends."""


class Load:
    """Clients that submit until they are acknowledged, as the interface asks them to."""

    def __init__(self, replicas: Replicas) -> None:
        self.acknowledged: list[str] = []
        self.wrong: list[str] = []
        self.refused = 0
        self._replicas = replicas
        self._over = False

    async def run(self, client: int) -> None:
        number = 0
        async with Api(self._replicas.proxy.url, self._replicas.token) as api:
            while not self._over:
                number += 1
                await self.insist(api, f"job-{client}-{number}")
                await asyncio.sleep(PAUSE_S)

    async def insist(self, api: Api, job_id: str) -> None:
        body = self._replicas.body(job_id, steps=1)
        while True:
            status, answer = 0, None
            with suppress(aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(15):
                    status, answer = await api.call("POST", "/train", json=body)
            if status in {200, 201}:
                self.acknowledged.append(job_id)
                return
            self.refused += 1
            if status not in {0, 503}:
                self.wrong.append(f"{job_id} was answered {status}: {answer}")
                return
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        self._over = True


async def seconds_to_service(replicas: Replicas, name: str) -> float:
    """Until every gateway has acknowledged a job of its own."""
    began_s = time.monotonic()

    async def one(number: int) -> None:
        gateway = replicas.gateways[number]
        async with Api(gateway.url, gateway.token) as api:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with asyncio.timeout(5):
                        job_id = f"{name}-{number}"
                        body = replicas.body(job_id, steps=1)
                        status, _ = await api.call("POST", "/train", json=body)
                        if status in {200, 201}:
                            return
                await asyncio.sleep(0.02)

    await asyncio.gather(*(one(number) for number in range(len(replicas.gateways))))
    return time.monotonic() - began_s


async def violations(url: str, acknowledged: Sequence[str]) -> list[str]:
    """Sentences on what is lost, doubled, torn or not over."""
    sql = """
        SELECT job_id, state,
            (SELECT count(*) FROM attempt a WHERE a.uid = job.uid),
            (SELECT count(*) FROM job_event e WHERE e.uid = job.uid),
            (SELECT coalesce(max(sequence), 0) FROM job_event e WHERE e.uid = job.uid),
            (SELECT count(*) FROM job_event e WHERE e.uid = job.uid AND e.type = 'job.status'
                AND convert_from(e.body, 'UTF8')::jsonb ->> 'status' = 'succeeded')
        FROM job
    """
    async with await psycopg.AsyncConnection.connect(url) as connection:
        rows = await (await connection.execute(sql)).fetchall()
    stored = {row[0] for row in rows}
    found = [
        f"{job_id} was acknowledged and is lost" for job_id in acknowledged if job_id not in stored
    ]
    for job_id, state, attempts, events, last, ends in rows:
        if state != "succeeded":
            found.append(f"{job_id} ended {state}")
        if attempts != 1:
            found.append(f"{job_id} was run {attempts} times")
        if events != last:
            found.append(f"{job_id}: its log has a gap")
        if ends != 1:
            found.append(f"{job_id} succeeded {ends} times")
    return found


async def all_over(url: str) -> None:
    """Until no job is on its way, or none has ended for long."""
    sql = "SELECT count(*) FROM job WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
    left, since_s = 0, time.monotonic()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while time.monotonic() - since_s < STILL_S:
            row = await (await connection.execute(sql)).fetchone()
            assert row is not None
            if row[0] == 0:
                return
            if row[0] != left:
                left, since_s = row[0], time.monotonic()
            await asyncio.sleep(0.5)


async def test_crashes_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(5)
    service_s: list[float] = []
    with PostgresServer() as server:
        url = server.create_database()
        async with Replicas(tmp_path, url, 3, lease_s=10.0).running() as replicas:
            load = Load(replicas)
            async with AsyncExitStack() as stack:
                tasks = [asyncio.create_task(load.run(client)) for client in range(CLIENTS)]
                stack.callback(load.stop)
                for number in range(CRASHES):
                    await asyncio.sleep(chance.uniform(0.1, 1.0))
                    await asyncio.to_thread(server.crash)
                    await asyncio.sleep(chance.choice([0.0, 0.0, 0.5, 2.5]))
                    await asyncio.to_thread(server.start)
                    service_s.append(await seconds_to_service(replicas, f"after-{number}"))
            await asyncio.gather(*tasks)
            await all_over(url)
            found = load.wrong + await violations(url, load.acknowledged)
            assert await replicas_are_well(replicas)
        caught = await damage_is_seen(url, load.acknowledged)
    service_s.sort()
    write(
        "postgres_crashes",
        CRASHES,
        found,
        planted_bug_caught=caught,
        acknowledged=len(load.acknowledged),
        refused=load.refused,
        service_p50_s=round(service_s[len(service_s) // 2], 3),
        service_max_s=round(service_s[-1], 3),
    )
    assert found == []
    assert caught
    # The figure is the campaign's; a test that shares its processors with others allows for them.
    assert service_s[len(service_s) // 2] <= SERVICE_S


async def replicas_are_well(replicas: Replicas) -> bool:
    for gateway in replicas.gateways:
        async with Api(gateway.url, gateway.token) as api:
            if (await api.call("GET", "/readyz"))[0] != 200:
                return False
    return True


async def damage_is_seen(url: str, acknowledged: Sequence[str]) -> bool:
    """The planted bugs: a job that is forgotten, one that runs twice, and a log with a hole."""
    lost, double, torn = acknowledged[:3]
    uid = "(SELECT uid FROM job WHERE job_id = %s)"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("DELETE FROM job WHERE job_id = %s", (lost,))
        await connection.execute(
            "INSERT INTO attempt SELECT attempt_id || 'x', uid, 2, launcher, run_name, 1, record "
            f"FROM attempt WHERE uid = {uid}",
            (double,),
        )
        await connection.execute(
            f"DELETE FROM job_event WHERE sequence = 2 AND uid = {uid}", (torn,)
        )
    text = "\n".join(await violations(url, acknowledged))
    return all(
        sentence in text
        for sentence in (f"{lost} was acknowledged", f"{double} was run 2", f"{torn}: its log")
    )
