"""The connection is cut between COMMIT and its answer: the caller hears `unavailable`, asks again, and there is one job."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest

from faults.report import write
from faults.store.checker import accepted
from faults.store.rounds import CUTS
from support.job_samples import job, submission
from support.tcp_proxy import TcpProxy
from tunegate.contract.secret import Secret
from tunegate.control.settings import StoreSettings
from tunegate.control.store.postgres import PostgresStore
from tunegate.control.store.protocol import Change, Created, JobStore
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.testing.postgres_server import PostgresServer

pytestmark = pytest.mark.slow
CALLERS = 8
COMMITTED = b"COMMIT\0"
"""In the server's CommandComplete."""


@asynccontextmanager
async def through(proxy: TcpProxy, server: PostgresServer) -> AsyncGenerator[PostgresStore]:
    name = server.create_database().rpartition("/")[2]
    store = PostgresStore(Secret(server.url(name, proxy.port)), StoreSettings(notify=False))
    await store.open()
    try:
        yield store
    finally:
        proxy.cut_before = lambda _: False
        await store.close()


async def insist(store: JobStore, job_id: str) -> tuple[Created, int]:
    """What a client does: the same job again, under a new uid, until it is acknowledged. Also how often it was not."""
    refusals = 0
    while True:
        try:
            sent = submission(job_id, uid=f"uid-{job_id}-{refusals}")
            return await store.create_job(sent), refusals
        except TunegateError as error:
            assert error.code == "unavailable"  # noqa: PT017 - most calls succeed
            refusals += 1


async def violations(url: str, acknowledged: Sequence[Created]) -> list[str]:
    """Jobs that were acknowledged and are not there as they were, and jobs that are there twice."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT job_id, uid, (SELECT count(*) FROM job_event e WHERE e.uid = job.uid) FROM job"
        )
        rows = await cursor.fetchall()
    stored: dict[str, list[tuple[str, int]]] = {}
    for job_id, uid, events in rows:
        stored.setdefault(job_id, []).append((uid, events))
    found = [
        f"{each.job.job_id} was acknowledged and is {stored.get(each.job.job_id)}"
        for each in acknowledged
        if stored.get(each.job.job_id) != [(each.job.uid, 1)]
    ]
    return found + [
        f"{job_id} was never acknowledged"
        for job_id in stored.keys() - {a.job.job_id for a in acknowledged}
    ]


async def test_a_lost_answer_doubles_nothing(postgres_server: PostgresServer) -> None:
    chance = random.Random(11)
    acknowledged: list[Created] = []
    async with (
        TcpProxy(postgres_server.port) as proxy,
        through(proxy, postgres_server) as store,
    ):
        proxy.cut_before = lambda answer: COMMITTED in answer and chance.random() < 0.5
        refusals = number = 0

        async def caller() -> None:
            nonlocal number, refusals
            while proxy.cuts < CUTS:
                number += 1
                created, refused = await insist(store, f"job-{number}")
                acknowledged.append(created)
                refusals += refused

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        proxy.cut_before = lambda _: False
        url = postgres_server.url(store._url.rpartition("/")[2])
        found = await violations(url, acknowledged)
        taken_up = sum(not created.created for created in acknowledged)
        caught = await a_lost_job_is_seen(url, acknowledged)
    write(
        "postgres_cuts",
        proxy.cuts,
        found,
        planted_bug_caught=caught,
        acknowledged=len(acknowledged),
        refused=refusals,
        committed_but_not_acknowledged=taken_up,
    )
    assert found == []
    assert refusals > 0
    assert taken_up > 0
    assert caught


async def a_lost_job_is_seen(url: str, acknowledged: Sequence[Created]) -> bool:
    """The planted bugs: an acknowledgement of nothing, and one under another uid than the stored one."""
    nothing = Created(job=job("never"), created=True)
    double = Created(job=job(acknowledged[0].job.job_id, uid="another"), created=True)
    return len(await violations(url, [*acknowledged, nothing, double])) == 2


async def test_a_change_with_a_lost_answer_is_there_or_not_and_never_claimed(
    postgres_server: PostgresServer,
) -> None:
    async with (
        TcpProxy(postgres_server.port) as proxy,
        through(proxy, postgres_server) as store,
    ):
        created = (await store.create_job(accepted("a"))).job
        proxy.cut_before = lambda answer: COMMITTED in answer
        with pytest.raises(TunegateError):
            await store.apply(Change(uid=created.uid, version=1, fields={"detail": "new"}))
        proxy.cut_before = lambda _: False
        now = await store.get_by_uid(created.uid)
        assert now is not None
        assert (now.version, now.detail) == (2, "new")  # it was committed; the writer looks again
        late = Change(uid=created.uid, version=1, fields={"detail": "again"})
        assert await store.apply(late) is None


async def test_a_server_that_does_not_answer_is_given_up(postgres_server: PostgresServer) -> None:
    async with TcpProxy(postgres_server.port) as proxy:
        url = postgres_server.create_database().rpartition("/")[2]
        settings = StoreSettings(notify=False, statement_timeout_s=0.3)
        store = PostgresStore(Secret(postgres_server.url(url, proxy.port)), settings)
        await store.open()
        held = asyncio.Event()
        proxy.hold = held
        with pytest.raises(TunegateError):
            async with asyncio.timeout(10):
                await store.create_job(accepted("a"))
        held.set()
        proxy.hold = None
        assert (await store.create_job(accepted("a"))).job.job_id == "a"
        await store.close()
