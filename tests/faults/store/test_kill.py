"""kill -9 at any moment: nothing acknowledged is lost, nothing is there by half."""

import asyncio
import os
import random
import sys
from pathlib import Path

import apsw
import pytest

from faults.report import write
from faults.store.checker import accepted, launching, violations
from faults.store.rounds import ROUNDS
from support.job_samples import ManualClock
from tunegate.control.store.sqlite import SqliteStore

TESTS = Path(__file__).parents[2]


async def killed_after(path: Path, name: str, steps: int) -> list[tuple[str, int]]:
    """The steps that a process acknowledged until it was killed, some time after the first `steps`."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "faults.store.inserter", str(path), name),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert child.stdout is not None
    lines: list[bytes] = []
    try:
        while len(lines) < steps and (line := await child.stdout.readline()):
            lines.append(line)
    finally:
        child.kill()
    lines += (await child.stdout.read()).splitlines()
    assert await child.wait() == -9
    pairs = (line.decode().split() for line in lines)
    return [(job_id, int(version)) for job_id, version in pairs]


async def test_kills_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    acknowledged: list[tuple[str, int]] = []
    chance, found = random.Random(7), list[str]()
    for number in range(ROUNDS):
        acknowledged += await killed_after(path, f"r{number}", chance.randint(1, 300))
        store = SqliteStore(path, ManualClock())
        await store.open()
        found += await violations(store, path, acknowledged)
        await store.close()
    caught = await lost_job_is_seen(path, acknowledged)
    write("store-kills", ROUNDS, found, planted_bug_caught=caught, acknowledged=len(acknowledged))
    assert found == []
    assert len(acknowledged) >= ROUNDS
    assert caught


async def lost_job_is_seen(path: Path, acknowledged: list[tuple[str, int]]) -> bool:
    """The planted bug: a store that forgot one job of all."""
    with apsw.Connection(str(path)) as db:
        db.execute("DELETE FROM job WHERE job_id = ?", (acknowledged[0][0],))
    store = SqliteStore(path, ManualClock())
    await store.open()
    found = await violations(store, path, acknowledged)
    await store.close()
    return any("lost" in text for text in found)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("DELETE FROM job", "lost"),
        ("DELETE FROM job_event WHERE sequence = 2", "log"),
        ("DELETE FROM delivery WHERE sequence = 3", "outbox"),
        ("DELETE FROM attempt", "attempt"),
        ("INSERT INTO sealed SELECT uid, 'secrets', x'00' FROM job", "sealed"),
    ],
)
async def test_the_checker_sees_damage(tmp_path: Path, damage: str, complaint: str) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, ManualClock())
    await store.open()
    created = await store.create_job(accepted("a"))
    await store.apply(launching(created.job))
    assert await violations(store, path, [("a", 2)]) == []
    with apsw.Connection(str(path)) as db:
        db.execute(damage)
    assert complaint in "".join(await violations(store, path, [("a", 2)]))
    await store.close()
