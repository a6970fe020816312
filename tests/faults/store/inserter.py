"""A process to be killed: creates and launches jobs without end, and prints each step once it is acknowledged."""

import asyncio
import os
import sys
from pathlib import Path

from faults.store.checker import accepted, launching
from tunegate.control.store.sqlite import SqliteStore
from tunegate.sdk.clock import SystemClock

TASKS = 16


def acknowledge(job_id: str, version: int) -> None:
    os.write(1, f"{job_id} {version}\n".encode())


async def insert(store: SqliteStore, name: str) -> None:
    number = 0
    while True:
        number += 1
        created = await store.create_job(accepted(f"{name}-{number}"))
        acknowledge(created.job.job_id, created.job.version)
        if launched := await store.apply(launching(created.job)):
            acknowledge(launched.job_id, launched.version)


async def main(path: Path, round_name: str) -> None:
    store = SqliteStore(path, SystemClock())
    await store.open()
    await asyncio.gather(*(insert(store, f"{round_name}-{task}") for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
