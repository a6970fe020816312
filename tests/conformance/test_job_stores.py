"""All drivers keep all promises of `JobStore`."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from conformance.job_store_suite import JobStoreSuite
from support.job_samples import ManualClock, submission
from tunegate.control.store.protocol import JobStore
from tunegate.control.store.sqlite import SqliteStore


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class TestSqliteStore(JobStoreSuite):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "jobs.db"

    @pytest.fixture
    async def store(self, path: Path, clock: ManualClock) -> AsyncGenerator[JobStore]:
        store = SqliteStore(path, clock)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def reopen(
        self, store: JobStore, path: Path, clock: ManualClock
    ) -> AsyncGenerator[Callable[[], Awaitable[JobStore]]]:
        opened: list[JobStore] = []

        async def again() -> JobStore:
            await store.close()
            opened.append(SqliteStore(path, clock))
            await opened[-1].open()
            return opened[-1]

        yield again
        for each in opened:
            await each.close()

    async def test_destroyed_bytes_leave_the_files(self, store: JobStore, path: Path) -> None:
        canary = b"canary" * 20
        sent = replace(submission(), sealed={"secrets": canary})
        created = await store.create_job(sent)
        await store.destroy_sealed(created.job.uid, ["secrets"])
        await store.close()
        assert path.exists()
        for file in path.parent.iterdir():
            assert canary not in file.read_bytes()
