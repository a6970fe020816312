"""All drivers keep all promises of `JobStore`."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from conformance.job_store_suite import JobStoreSuite
from conformance.job_store_suite.attempts import launched, note
from conformance.job_store_suite.changes import change
from support.job_samples import ManualClock, delivery, event, submission
from tunegate.contract.secret import Secret
from tunegate.control.settings import StoreSettings
from tunegate.control.store.postgres import PostgresStore
from tunegate.control.store.protocol import JobStore
from tunegate.control.store.sqlite import SqliteStore
from tunegate.sdk.testing.postgres_server import PostgresServer

Make = Callable[[], JobStore]
Reopen = Callable[[], Awaitable[JobStore]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class _Opened(JobStoreSuite):
    """Opens what `make` makes."""

    @pytest.fixture
    async def store(self, make: Make) -> AsyncGenerator[JobStore]:
        async with opened(make()) as store:
            yield store

    @pytest.fixture
    async def reopen(self, store: JobStore, make: Make) -> AsyncGenerator[Reopen]:
        async with AsyncExitStack() as stack:

            async def again() -> JobStore:
                await store.close()
                return await stack.enter_async_context(opened(make()))

            yield again


@asynccontextmanager
async def opened(store: JobStore) -> AsyncGenerator[JobStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class TestSqliteStore(_Opened):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "jobs.db"

    @pytest.fixture
    def make(self, path: Path, clock: ManualClock) -> Make:
        return lambda: SqliteStore(path, clock)

    async def test_destroyed_bytes_leave_the_files(self, store: JobStore, path: Path) -> None:
        canary = b"canary" * 20
        sent = replace(submission(), sealed={"secrets": canary})
        created = await store.create_job(sent)
        await store.destroy_sealed(created.job.uid, ["secrets"])
        await store.close()
        assert path.exists()
        for file in path.parent.iterdir():
            assert canary not in file.read_bytes()


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Secret:
    return Secret(postgres_server.create_database())


class TestPostgresStore(_Opened):
    @pytest.fixture
    def make(self, database: Secret, clock: ManualClock) -> Make:
        with psycopg.connect(database.reveal(), autocommit=True) as connection:
            if connection.execute("SELECT to_regclass('job')").fetchall() != [(None,)]:
                connection.execute("TRUNCATE job, token, audit_arrival, audit_entry CASCADE")
                connection.execute("UPDATE counter SET value = 0 WHERE name = 'retention'")
                connection.execute("UPDATE audit_head SET sequence = 0, hash = repeat('0', 64)")
        return lambda: PostgresStore(database, StoreSettings(), clock)

    @pytest.fixture
    async def other(self, make: Make) -> AsyncGenerator[JobStore]:
        """A second replica."""
        async with opened(make()) as store:
            yield store

    async def test_replicas_share_work_and_never_double_it(
        self, store: JobStore, other: JobStore
    ) -> None:
        await asyncio.gather(*(store.create_job(submission(f"job-{n}")) for n in range(40)))
        batches = await asyncio.gather(
            *(replica.lease_due(f"w{n}", 3, 9000) for n in range(20) for replica in (store, other))
        )
        leased = [job.uid for batch in batches for job in batch]
        assert len(leased) == len(set(leased)) == 40

    async def test_replicas_do_not_overfill_an_engine(
        self, store: JobStore, other: JobStore
    ) -> None:
        await asyncio.gather(*(store.create_job(submission(f"job-{n}")) for n in range(20)))
        batches = await asyncio.gather(
            *(replica.lease_due("w", 2, 9000, {"local": 5}) for replica in (store, other) * 10)
        )
        assert sum(len(batch) for batch in batches) == 5

    async def test_creates_of_two_replicas_meet(self, store: JobStore, other: JobStore) -> None:
        racers = [
            replica.create_job(submission(f"job-{n % 30}", uid=f"uid-{replica is store}-{n}"))
            for n in range(90)
            for replica in (store, other)
        ]
        results = await asyncio.gather(*racers)
        assert sum(result.created for result in results) == 30

    async def test_a_replica_hears_of_the_other_s_changes(
        self, store: JobStore, other: JobStore
    ) -> None:
        heard = asyncio.Event()
        other.on_event(lambda uid: heard.set() if uid == "uid-job-1" else None)
        async with asyncio.timeout(5):
            await store.create_job(submission())
            while not heard.is_set():  # it may not listen yet
                await store.wake("uid-job-1")
                await asyncio.sleep(0.05)

    async def test_events_and_changes_of_two_replicas_keep_each_other(
        self, store: JobStore, other: JobStore
    ) -> None:
        job, tried = await launched(store)
        await store.claim_attempt(tried.attempt_id, "run")

        async def fold(number: int) -> None:
            await until_applied(
                other, job.uid, attempt_number=1, attempt_fields={"exit_code": number}
            )

        await asyncio.gather(
            *(store.add_trainer_events(tried.attempt_id, "run", [note(n)]) for n in range(1, 31)),
            *(fold(number) for number in range(10)),
        )
        after = await store.find_attempt(tried.attempt_id)
        now = await store.get_by_uid(job.uid)
        assert after is not None
        assert now is not None
        assert (after.received_through, now.version) == (30, job.version + 10)

    async def test_a_row_queued_while_the_last_one_leaves_is_not_stuck(
        self, store: JobStore, other: JobStore
    ) -> None:
        job = (await store.create_job(submission())).job
        for _ in range(30):
            leased = await store.lease_deliveries("me", 1, 60_000)
            await asyncio.gather(
                *(store.delivered(row.delivery_id) for row in leased),
                until_applied(other, job.uid, events=[event()], deliveries=[delivery()]),
            )
            assert len(leased) == 1


async def until_applied(store: JobStore, uid: str, **parts: Any) -> None:
    while True:
        now = await store.get_by_uid(uid)
        assert now is not None
        if await store.apply(change(now, **parts)):
            return
