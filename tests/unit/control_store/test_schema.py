"""Migrations of both drivers: from every version on, beside an older release, and by two processes at once."""

import asyncio
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import psycopg
import pytest

from support.job_samples import ManualClock, attempt, job
from tunegate.contract.secret import Secret
from tunegate.control.records import JobState
from tunegate.control.settings import StoreSettings
from tunegate.control.store import postgres, sqlite
from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.store.postgres import schema as postgres_schema
from tunegate.control.store.protocol import Change, JobStore
from tunegate.control.store.schema import (
    Migration,
    SchemaDatabase,
    check_current,
    migrate,
    pending,
    state_of,
)
from tunegate.control.store.sql.codec import encode
from tunegate.control.store.sqlite import schema as sqlite_schema
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.testing.postgres_server import PostgresServer


class Driver(NamedTuple):
    """An empty database of one kind, a connection to it, and a store on it."""

    place: str
    db: SchemaDatabase
    known: list[Migration]
    make: Callable[[], JobStore]
    execute: Callable[[str, tuple[Any, ...]], object]


@pytest.fixture(params=["sqlite", "postgres"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Driver]:
    clock = ManualClock()
    if request.param == "sqlite":
        path = tmp_path / "jobs.db"
        with closing(apsw.Connection(str(path))) as file:
            db = sqlite_schema.SqliteSchema(file)
            yield Driver(
                str(path),
                db,
                sqlite_schema.known(),
                lambda: sqlite.SqliteStore(path, clock),
                file.execute,
            )
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    settings = StoreSettings(notify=False, pool_size=2)
    with psycopg.connect(url, autocommit=True) as connection:
        yield Driver(
            url,
            postgres_schema.PostgresSchema(connection),
            postgres_schema.known(),
            lambda: postgres.PostgresStore(Secret(url), settings, clock),
            lambda sql, values: connection.execute(sql.replace("?", "%s"), values),
        )


def fill_version_1(driver: Driver) -> None:
    """A queued job, a running one with its attempt, and a webhook that waits."""
    insert = (
        "INSERT INTO job (uid, tenant, job_id, backend, state, created_ms, active, due_ms, epoch, "
        "lease_until_ms, record) VALUES (?, ?, ?, ?, ?, ?, 1, ?, 0, 0, ?)"
    )
    for record in (job("waiting"), job("running", state=JobState.RUNNING, attempt=1)):
        columns = (record.uid, record.tenant, record.job_id, record.backend, record.state.value)
        driver.execute(insert, (*columns, record.created_ms, record.due_ms, encode(record)))
    tried = attempt(job("running"))
    driver.execute(
        "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, 0, ?)",
        (tried.attempt_id, tried.uid, 1, tried.launcher, tried.run_name, encode(tried)),
    )
    driver.execute(
        "INSERT INTO delivery (delivery_id, uid, channel, sequence, final, head, created_ms, "
        "next_at_ms, body) VALUES (?, ?, 'webhook', 1, 0, 1, 1, 1, ?)",
        ("d", tried.uid, b"{}"),
    )


def test_both_drivers_know_the_same_versions_without_gaps() -> None:
    names = [[m.name for m in of.known()] for of in (sqlite_schema, postgres_schema)]
    assert names[0] == names[1]
    for of in (sqlite_schema, postgres_schema):
        assert [m.version for m in of.known()] == list(range(1, len(of.known()) + 1))
        floors = [m.min_writer for m in of.known()]
        assert all(floor <= m.version for floor, m in zip(floors, of.known(), strict=True))


def test_each_is_applied_once(driver: Driver) -> None:
    assert [m.version for m in pending(driver.db, driver.known)] == [
        m.version for m in driver.known
    ]
    assert migrate(driver.db, driver.known, 1) == driver.known
    assert migrate(driver.db, driver.known, 2) == []
    rows = driver.db.rows("SELECT version, applied_ms FROM schema_version ORDER BY version")
    assert rows == [(m.version, 1) for m in driver.known]
    assert pending(driver.db, driver.known) == []


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_data_of_an_older_version_comes_along(driver: Driver, version: int) -> None:
    migrate(driver.db, driver.known, 1, to=1)
    fill_version_1(driver)
    migrate(driver.db, driver.known, 2, to=version)
    assert state_of(driver.db).version == version
    store = driver.make()
    await store.open()
    assert state_of(driver.db).version == driver.known[-1].version
    waiting = await store.get_job("acme", "waiting")
    assert waiting == job("waiting")
    assert await store.queue_position(waiting.uid) == 0
    leased = await store.lease_due("me", 9, 1000, {"local": 5})
    assert [each.job_id for each in leased] == ["running", "waiting"]
    moved = Change(uid=leased[0].uid, version=1, epoch=1, fields={"state": JobState.UPLOADING})
    assert await store.apply(moved) is not None
    [row] = await store.lease_deliveries("me", 9, 1000)
    await store.postpone(row.delivery_id, 0, "503", row.epoch)
    assert (await store.read_deliveries(row.uid, 0, 9))[0].tries[0][1] == "503"
    await store.close()


def test_a_failed_migration_leaves_nothing(driver: Driver) -> None:
    broken = Migration(1, "broken", "CREATE TABLE half (a INTEGER); CREATE TABLE half (a INTEGER);")
    with pytest.raises((apsw.SQLError, psycopg.Error)):
        migrate(driver.db, [broken], 1)
    assert not driver.db.has_table("half")
    assert state_of(driver.db).version == 0


async def test_the_previous_release_goes_on_until_a_migration_shuts_it_out(driver: Driver) -> None:
    newest = driver.known[-1].version
    store = driver.make()
    await store.open()
    expand = Migration(newest + 1, "expand", "ALTER TABLE job ADD COLUMN added TEXT;")
    migrate(driver.db, [*driver.known, expand], 1)
    await store.ping()
    await store.close()
    again = driver.make()
    await again.open()
    contract = Migration(
        newest + 2, "contract", f"-- min_writer: {newest + 1}\nALTER TABLE job DROP COLUMN woken;"
    )
    migrate(driver.db, [*driver.known, expand, contract], 2)
    if "postgres" in driver.place:  # only there can a migration meet a gateway at work
        with pytest.raises(TunegateError):
            await again.ping()
    await again.close()
    with pytest.raises(StoreUnsafe, match="upgrade"):
        await driver.make().open()


async def test_without_leave_to_migrate_an_old_schema_is_refused(
    postgres_server: PostgresServer,
) -> None:
    settings = StoreSettings(migrate_at_start=False)
    url = Secret(postgres_server.create_database())
    with pytest.raises(StoreUnsafe, match="tunegate db migrate"):
        await postgres.PostgresStore(url, settings).open()


def test_check_current_wants_the_newest(driver: Driver) -> None:
    migrate(driver.db, driver.known, 1, to=1)
    with pytest.raises(StoreUnsafe, match="tunegate db migrate"):
        check_current(state_of(driver.db), driver.known)


async def test_two_processes_migrate_at_once(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    code = (
        "import sys, psycopg\n"
        "from tunegate.control.store.postgres.schema import PostgresSchema, known\n"
        "from tunegate.control.store.schema import migrate\n"
        "db = psycopg.connect(sys.argv[1], autocommit=True)\n"
        "sys.stdin.readline()\n"
        "print(len(migrate(PostgresSchema(db), known(), 1)))\n"
    )
    pipe = asyncio.subprocess.PIPE
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, url, stdin=pipe, stdout=pipe
        )
        for _ in range(2)
    ]
    answers = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
    assert sum(int(out) for out, _ in answers) == len(postgres_schema.known())
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT version FROM schema_version ORDER BY version").fetchall()
    assert [version for (version,) in rows] == [m.version for m in postgres_schema.known()]
