"""Group commit: one transaction for all that wait, and a failing request is undone alone."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import apsw
import pytest

from support.job_samples import ManualClock
from tunegate.control.store.sqlite.writer import MAX_BATCH, Transaction, Work, Writer
from tunegate.sdk.errors import TunegateError


class Database:
    """A table of numbers, and a count of the commits that wrote to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits = 0
        self.fail_commit = False
        with apsw.Connection(str(path)) as db:
            db.execute("CREATE TABLE t (n INTEGER)")

    def connect(self) -> apsw.Connection:
        db = apsw.Connection(str(self.path))
        db.set_commit_hook(self._on_commit)
        return db

    def _on_commit(self) -> bool:
        self.commits += 1
        if self.fail_commit:
            raise apsw.IOError("the disk is gone")
        return False

    def numbers(self) -> list[int]:
        return [row[0] for row in apsw.Connection(str(self.path)).execute("SELECT n FROM t")]  # type: ignore[misc]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "t.db")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
async def writer(database: Database, told: list[str]) -> AsyncGenerator[Writer]:
    writer = Writer(database.connect, ManualClock(), told.append)
    writer.start()
    yield writer
    await writer.stop()


def insert(number: int) -> Work[int]:
    """Inserts the number, and fails after that when it is negative."""

    def work(tx: Transaction) -> int:
        tx.db.execute("INSERT INTO t VALUES (?)", (number,))
        tx.touched.add(str(number))
        if number < 0:
            raise ValueError(number)
        return number

    return work


async def held_back(writer: Writer, gate: threading.Event) -> asyncio.Task[None]:
    """Keeps the thread busy until the gate opens, so that what follows waits together."""
    busy = threading.Event()

    def wait(_: Transaction) -> None:
        busy.set()
        gate.wait(10)

    task = asyncio.create_task(writer.run(wait))
    await asyncio.to_thread(busy.wait, 10)
    return task


async def test_what_waits_shares_commits(writer: Writer, database: Database) -> None:
    gate = threading.Event()
    first = await held_back(writer, gate)
    inserts = [asyncio.create_task(writer.run(insert(n))) for n in range(MAX_BATCH + 10)]
    await asyncio.sleep(0)
    gate.set()
    await first
    assert await asyncio.gather(*inserts) == list(range(MAX_BATCH + 10))
    assert database.commits == 3  # what kept the thread busy, a full batch, the rest
    assert database.numbers() == list(range(MAX_BATCH + 10))


async def test_a_failing_request_is_undone_alone(
    writer: Writer, database: Database, told: list[str]
) -> None:
    gate = threading.Event()
    first = await held_back(writer, gate)
    tasks = [asyncio.create_task(writer.run(insert(n))) for n in (1, -2, 3)]
    await asyncio.sleep(0)
    gate.set()
    await first
    one, two, three = await asyncio.gather(*tasks, return_exceptions=True)
    assert (one, three) == (1, 3)
    assert isinstance(two, ValueError)
    assert database.numbers() == [1, 3]
    assert sorted(told) == ["1", "3"]


async def test_a_failing_commit_fails_all_and_the_next_one_works(
    writer: Writer, database: Database, told: list[str]
) -> None:
    database.fail_commit = True
    results = await asyncio.gather(
        *(writer.run(insert(n)) for n in (1, 2, 3)), return_exceptions=True
    )
    assert [r.code for r in results if isinstance(r, TunegateError)] == ["unavailable"] * 3
    assert told == []
    database.fail_commit = False
    assert await writer.run(insert(4)) == 4
    assert database.numbers() == [4]
    assert told == ["4"]


async def test_an_unforeseen_error_neither_ends_nor_blocks_the_thread(database: Database) -> None:
    class BrokenOnce(ManualClock):
        broken = True

        def now_ms(self) -> int:
            if self.broken:
                self.broken = False
                raise OSError("no clock")
            return super().now_ms()

    writer = Writer(database.connect, BrokenOnce(), lambda _: None)
    writer.start()
    with pytest.raises(TunegateError):
        await writer.run(insert(1))
    assert await writer.run(insert(2)) == 2
    await writer.stop()
    assert database.numbers() == [2]


async def test_a_cancelled_caller_hurts_nobody(writer: Writer, database: Database) -> None:
    gate = threading.Event()
    first = await held_back(writer, gate)
    doomed, fine = (asyncio.create_task(writer.run(insert(n))) for n in (1, 2))
    await asyncio.sleep(0)
    doomed.cancel()
    gate.set()
    await first
    assert await fine == 2
    assert database.numbers() == [1, 2]


async def test_stop_finishes_what_waits(database: Database) -> None:
    writer = Writer(database.connect, ManualClock(), lambda _: None)
    writer.start()
    gate = threading.Event()
    first = await held_back(writer, gate)
    late = asyncio.create_task(writer.run(insert(7)))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(writer.stop())
    await asyncio.sleep(0)
    with pytest.raises(TunegateError):
        await writer.run(insert(8))
    gate.set()
    await asyncio.gather(first, late, stopping)
    assert database.numbers() == [7]
