"""A disk that fills up or fails at any single operation: the caller hears `unavailable`, and the store goes on after."""

from pathlib import Path

import pytest

from faults.report import write
from faults.store.checker import accepted, launching, violations
from faults.store.faulty_disk import (
    Fault,
    FaultyDisk,
    all_fail,
    disk_full,
    faulty_disk,
    syncs_fail,
    writes_fail,
)
from faults.store.rounds import STRIDE
from support.job_samples import ManualClock
from tunegate.control.store.sqlite import SqliteStore
from tunegate.sdk.errors import TunegateError

# SQLite can't hand on an error that it meets while it closes; apsw reports the planted ones this way.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
FAULTS = (disk_full, writes_fail, syncs_fail, all_fail)
JOBS = 2


async def work(store: SqliteStore, name: str) -> list[tuple[str, int]]:
    """Both steps of a few jobs; what was acknowledged. The only error allowed is `unavailable`."""
    acknowledged: list[tuple[str, int]] = []
    for number in range(JOBS):
        try:
            created = await store.create_job(accepted(f"{name}-{number}"))
            acknowledged.append((created.job.job_id, 1))
            if await store.apply(launching(created.job)):
                acknowledged.append((created.job.job_id, 2))
        except TunegateError as error:
            assert error.code == "unavailable"  # noqa: PT017 - some calls succeed
    return acknowledged


async def survive(path: Path, disk: FaultyDisk, operation: int, fault: Fault) -> bool:
    """One life with a fault from the given operation on; whether the fault was met."""
    store = SqliteStore(path, ManualClock())
    await store.open()
    disk.fail_from(disk.operations + operation, fault)
    disk.hits = 0
    acknowledged = await work(store, "during")
    met = disk.hits > 0
    assert met == (len(acknowledged) < 2 * JOBS)
    disk.heal()
    after = await work(store, "after")
    assert len(after) == 2 * JOBS
    assert await violations(store, path, acknowledged + after) == []
    disk.fail_from(0, fault)
    await store.close()
    disk.heal()
    again = SqliteStore(path, ManualClock())
    await again.open()
    assert await violations(again, path, acknowledged + after) == []
    await again.close()
    return met


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_every_operation(tmp_path: Path, fault: Fault) -> None:
    operation = 0
    with faulty_disk() as disk:
        while await survive(tmp_path / f"{operation}.db", disk, operation, fault):
            operation += STRIDE
    tried = operation // STRIDE
    write(
        f"store-disk-{fault.__name__}", tried, [], planted_bug_caught=await a_lie_is_seen(tmp_path)
    )
    assert operation > 2 * JOBS


async def a_lie_is_seen(folder: Path) -> bool:
    """The planted bug: a store that acknowledged a step which no disk has."""
    store = SqliteStore(folder / "lie.db", ManualClock())
    await store.open()
    acknowledged = [*await work(store, "true"), ("never", 1)]
    found = await violations(store, folder / "lie.db", acknowledged)
    await store.close()
    return found == ["never was acknowledged with version 1 and is lost"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_while_opening(tmp_path: Path, fault: Fault) -> None:
    operation, met = 0, True
    with faulty_disk() as disk:
        while met:
            store = SqliteStore(tmp_path / f"{operation}.db", ManualClock())
            disk.fail_from(disk.operations + operation, fault)
            disk.hits = 0
            try:
                await store.open()
            except TunegateError as error:
                assert error.code == "unavailable"  # noqa: PT017
                disk.heal()
                await store.open()
            disk.heal()
            met = disk.hits > 0
            assert len(await work(store, "after")) == 2 * JOBS
            await store.close()
            operation += STRIDE
    assert operation > 2
