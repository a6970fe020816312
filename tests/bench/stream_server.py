"""The gateway of `streams`, with a writer beside it: `python -m tests.bench.stream_server CONFIG PORT JOBS PER_S`.

A line on its standard input makes it write events for that many seconds, to its jobs in turn, each saying when it was
written. No launcher has room for these jobs, so that nothing else happens to them.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec
import uvloop
from tests.bench.many_jobs import new_job

from tunegate.commands.serve import _listen, _Server
from tunegate.control.records import JobRecord, JobState
from tunegate.control.store.protocol import Change, JobStore, Submission
from tunegate.control.submission import status_event
from tunegate.gateway import Gateway
from tunegate.settings import load

MARK = "written at "


async def write(store: JobStore, jobs: list[JobRecord], per_s: float, seconds: float) -> None:
    """At an even pace, whatever the gateway does."""
    started, count = time.perf_counter(), int(per_s * seconds)
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number / per_s - time.perf_counter()))
        at = number % len(jobs)
        event = msgspec.structs.replace(status_event(jobs[at]), type="job.note")
        event = msgspec.structs.replace(event, detail=f"{MARK}{time.time()}")
        changed = await store.apply(
            Change(uid=jobs[at].uid, version=jobs[at].version, events=[event])
        )
        assert changed is not None
        jobs[at] = changed
    print(f"wrote {count}", flush=True)


async def main(config: Path, port: int, count: int, per_s: float) -> None:
    settings, tokens = load(config, os.environ, {"port": port})
    gateway = Gateway(settings, tokens)
    server = _Server(gateway)
    serving = asyncio.create_task(server.serve(sockets=[_listen(settings)]))
    while not server.started:  # noqa: ASYNC110  the server has no event for it
        await asyncio.sleep(0.05)
    store, jobs = gateway._store, list[JobRecord]()
    for number in range(count):
        job = msgspec.structs.replace(
            new_job(number, store.now_ms(), JobState.QUEUED), tenant="default"
        )
        submission = Submission(job=job, sealed={}, events=[status_event(job)], deliveries=[])
        jobs.append((await store.create_job(submission)).job)
    print("ready", flush=True)
    seconds = float(await asyncio.to_thread(sys.stdin.readline))
    await write(store, jobs, per_s, seconds)
    await serving


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
