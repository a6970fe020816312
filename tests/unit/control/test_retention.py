"""Sweeps: what each setting removes, and that a store under constant load stays as large as it is."""

import os
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from conformance.job_store_suite.retention import finished
from support.job_samples import ManualClock, submission
from tunegate.control.kept_log import kept_log
from tunegate.control.records import FINAL
from tunegate.control.retention import SWEEP_S, Retention
from tunegate.control.settings import RetentionSettings
from tunegate.control.store.sqlite import SqliteStore

HOUR_MS = 3_600_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock):  # noqa: ANN201 - a fixture
    opened = SqliteStore(tmp_path / "jobs.db", clock)
    await opened.open()
    yield opened
    await opened.close()


def write_log(state_dir: Path, uid: str, at_ms: int) -> Path:
    log = kept_log(state_dir, uid, 1)
    log.parent.mkdir(parents=True)
    log.write_text("text")
    for path in (log, log.parent):
        os.utime(path, (at_ms / 1000, at_ms / 1000))
    return log


def pages(database: Path) -> int:
    """Of the whole file, as of the last commit."""
    with closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return int(db.pragma("page_count"))


async def test_a_sweep_removes_what_is_old(
    store: SqliteStore, clock: ManualClock, tmp_path: Path
) -> None:
    await finished(store, "old")
    clock.time_ms += 2 * HOUR_MS
    await finished(store, "new")
    removed: dict[str, int] = {}
    settings = RetentionSettings(jobs_s=3600, audit_s=3600)
    sweeper = Retention(store, settings, clock, tmp_path, lambda w, n: removed.update({w: n}))
    while (await store.seal_audit(100)).count:
        pass
    old_log = write_log(tmp_path, "uid-old", clock.time_ms)
    await sweeper.sweep()
    assert await store.get_by_uid("uid-old") is None
    assert await store.get_by_uid("uid-new") is not None
    assert not old_log.exists()
    assert (removed["jobs"], removed["events"]) == (1, 0)
    assert removed["audit"] == 3  # the old job's: submitted, cancelled, secrets destroyed


async def test_without_limits_nothing_goes(
    store: SqliteStore, clock: ManualClock, tmp_path: Path
) -> None:
    await finished(store)
    log = write_log(tmp_path, "uid-job-1", 0)
    clock.time_ms += 10**12
    fields = {
        f"{name}_s": 0 for name in ("jobs", "events", "logs", "deliveries", "tokens", "audit")
    }
    await Retention(store, RetentionSettings(**fields), clock, tmp_path).sweep()
    assert len(await store.read_events("uid-job-1", 0, 10)) == 3
    assert log.exists()


async def test_logs_of_unfinished_jobs_stay(
    store: SqliteStore, clock: ManualClock, tmp_path: Path
) -> None:
    await store.create_job(submission("runs"))
    done = await finished(store, "done")
    assert done.state in FINAL
    kept = [write_log(tmp_path, uid, clock.time_ms) for uid in ("uid-runs", "uid-done", "uid-gone")]
    recent = write_log(tmp_path, "uid-recent", clock.time_ms + 2 * HOUR_MS)
    clock.time_ms += 2 * HOUR_MS
    await Retention(store, RetentionSettings(logs_s=3600), clock, tmp_path).sweep()
    assert [log.exists() for log in kept] == [True, False, False]
    assert recent.exists()


async def test_under_constant_load_the_file_stays_as_large_as_it_is(
    store: SqliteStore, clock: ManualClock, tmp_path: Path
) -> None:
    sweeper = Retention(store, RetentionSettings(jobs_s=3600, audit_s=3600), clock, tmp_path)
    sizes: list[int] = []
    for hour in range(12):
        for number in range(25):
            await finished(store, f"job-{hour}-{number}")
        while (await store.seal_audit(100)).count:
            pass
        clock.time_ms += HOUR_MS + int(SWEEP_S * 1000)
        await sweeper.sweep()
        sizes.append(pages(tmp_path / "jobs.db"))
    assert max(sizes[4:]) <= 1.1 * max(sizes[:4])
