"""Doubled, reordered and late words of trainers: the job ends as if each had been said once and in order."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from faults.lifecycles.inline_store import InlineStore
from faults.report import rounds, write
from faults.trainer_events.campaign import COHORT, Cohort
from faults.trainer_events.plants import PLANTS
from support.job_samples import ManualClock
from tunegate.contract.secret import Secret
from tunegate.control import looking
from tunegate.control.settings import StoreSettings
from tunegate.control.store.postgres import PostgresStore
from tunegate.control.store.sql.store import SqlStore
from tunegate.control.store.sqlite import SqliteStore
from tunegate.sdk.testing.postgres_server import PostgresServer

pytestmark = pytest.mark.slow
IN_MEMORY = rounds(4, 900)
"""Cohorts of a hundred streams on the SQL of SQLite in memory; then on both drivers as they are."""
ON_DISK = rounds(1, 50)
FRESH = 20
"""Cohorts that share a database."""


Opened = Callable[[ManualClock], SqlStore]
"""Makes a fresh store."""


async def live(make: Opened, first: int, number: int, folder: Path) -> tuple[list[str], int]:
    """Violations, and how many events were sent."""
    found, events, clock = list[str](), 0, ManualClock()
    for begin in range(first, first + number, FRESH):
        store = make(clock)
        await store.open()
        try:
            for index in range(begin, min(begin + FRESH, first + number)):
                cohort = Cohort(store, clock, folder, range(index * COHORT, (index + 1) * COHORT))
                found += await cohort.run()
                events += sum(one.events for one in cohort.streams)
        finally:
            await store.close()
    return found, events


async def planted(name: str, folder: Path) -> bool:
    """Whether the bug is seen, and that nothing is seen without it is the campaign's own business."""
    with mock.patch.object(looking, "fold", PLANTS[name]):
        return bool((await live(InlineStore, 0, 1, folder))[0])


async def test_disorder_changes_nothing(tmp_path: Path, postgres_server: PostgresServer) -> None:
    def sqlite(clock: ManualClock) -> SqlStore:
        return SqliteStore(tmp_path / secrets.token_hex(8) / "jobs.db", clock)

    def postgres(clock: ManualClock) -> SqlStore:
        url = Secret(postgres_server.create_database())
        # A hundred jobs at once on a machine that has other things to do: patience is not at stake here.
        settings = StoreSettings(notify=False, statement_timeout_s=60.0, pool_size=32)
        return PostgresStore(url, settings, clock)

    began_s = time.monotonic()
    found, events = list[str](), 0
    drivers: dict[str, tuple[Opened, int]] = {
        "sqlite in memory": (InlineStore, IN_MEMORY),
        "sqlite": (sqlite, ON_DISK),
        "postgres": (postgres, ON_DISK),
    }
    for name, (make, number) in drivers.items():
        # Both drivers get streams that the one in memory had too: the same words, the same end.
        wrong, sent = await live(make, 0, number, tmp_path)
        found += [f"{name}: {text}" for text in wrong]
        events += sent
    streams = {name: number * COHORT for name, (_, number) in drivers.items()}
    caught = {name: await planted(name, tmp_path) for name in PLANTS}
    write(
        "trainer-events", sum(streams.values()), found, planted_bug_caught=all(caught.values()),
        events=events, streams=streams, planted=caught, seconds=round(time.monotonic() - began_s, 1),
    )  # fmt: skip
    assert found == []
    assert all(caught.values()), caught
