"""`make bench-many-jobs`: 100,000 jobs stored, 10,000 of them running: lists, single jobs, and a full look at all.

The store, what clients read with, and the reconciler are the real ones; the engine is a fake that answers at once.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

import apsw
import msgspec
import uvloop
from tests.bench import report

from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.control.launching import intended_attempt
from tunegate.control.reconciler import Reconciler
from tunegate.control.records import JobRecord, JobState
from tunegate.control.sealer import Sealer
from tunegate.control.settings import ControlSettings, WebhookSettings
from tunegate.control.store.protocol import Change, JobFilter, Submission
from tunegate.control.store.sqlite import SqliteStore
from tunegate.control.submission import status_event
from tunegate.control.views import job_view
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import RunState
from tunegate.sdk.testing.launcher_fakes import ScriptedLauncher

TENANT = "bench"
GOALS = {"list_p99_ms": 20, "get_p99_ms": 20, "pass_cpu_s": 5, "rss_mb": 300}
_GROUP = 500


def new_job(number: int, now_ms: int, state: JobState) -> JobRecord:
    """As large as the record of the canonical request."""
    files = [ContainerFile(path="job.json", content="x" * 2600)]
    resources = ResourceRequest(gpus=4, gpu_type="A100")
    return JobRecord(
        uid=f"uid{number:017}", tenant=TENANT, job_id=f"job-{number}", backend_job_id=f"lora-{number}",
        backend="huggingface-lora", launcher="scripted", state=state, phase=state.value, detail="Job accepted",
        output_uri="s3://bucket/results/", log_uri=None, launcher_options={}, request=b"x" * 1500,
        container=ContainerSpec(image="trainer", command=["train"], resources=resources, files=files),
        body_digest=b"x" * 32, budget_ms=3_600_000_000, created_ms=now_ms, updated_ms=now_ms, due_ms=now_ms,
    )  # fmt: skip


async def fill(store: SqliteStore, sealer: Sealer, engine: ScriptedLauncher, total: int, running: int) -> None:  # fmt: skip
    """Ended jobs first, then the running ones, each with its attempt and its run."""
    for start in range(0, total, _GROUP):
        group = [_submission(store, n, total - running) for n in range(start, start + _GROUP)]
        await asyncio.gather(*(store.create_job(each) for each in group))
    for start in range(total - running, total, _GROUP):
        numbers = range(start, start + _GROUP)
        await asyncio.gather(*(_run(store, sealer, engine, number) for number in numbers))


def _submission(store: SqliteStore, number: int, ended: int) -> Submission:
    state = JobState.SUCCEEDED if number < ended else JobState.QUEUED
    job = new_job(number, store.now_ms(), state)
    return Submission(job=job, sealed={}, events=[status_event(job)], deliveries=[])


async def _run(store: SqliteStore, sealer: Sealer, engine: ScriptedLauncher, number: int) -> None:
    job = await store.get_by_uid(f"uid{number:017}")
    assert job is not None
    attempt = intended_attempt(
        job, 1, generation="0" * 8, resume=False, sealer=sealer, now_ms=store.now_ms()
    )
    engine.set(attempt.run_name, RunState.RUNNING)
    fields: dict[str, Any] = {
        "state": JobState.RUNNING,
        "phase": "training",
        "attempt": 1,
        "due_ms": 0,
    }
    claimed = msgspec.structs.replace(
        attempt, submitted=True, claimed_by="run", fence=1, claimed_ms=store.now_ms(),
        last_seen_ms=store.now_ms() + 3_600_000,
    )  # fmt: skip
    await store.apply(Change(uid=job.uid, version=job.version, fields=fields, new_attempt=claimed))


def settle(file: Path) -> None:
    """The ended jobs have nothing left to tidy."""
    db = apsw.Connection(str(file))
    db.execute("UPDATE job SET active = 0 WHERE state = 'succeeded'")
    db.close()


async def timed(question: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """How long each answer took, in ms, its JSON included."""
    times: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        msgspec.json.encode(await question())
        times.append((time.perf_counter() - started) * 1000)
    return times


def shown(name: str, times: list[float]) -> dict[str, float]:
    cuts = quantiles(times, n=100)
    return {f"{name}_p50_ms": cuts[49], f"{name}_p99_ms": cuts[98]}


async def full_pass(reconciler: Reconciler, running: int, slots: int) -> dict[str, float]:
    """Every running job is looked at once, so many at a time."""
    seen, started, cpu = 0, time.perf_counter(), time.process_time()
    while seen < running:
        jobs = await reconciler.lease(slots)
        if not jobs:
            raise RuntimeError(f"only {seen} were due")
        await asyncio.gather(*(reconciler.tend(job) for job in jobs))
        seen += len(jobs)
    return {
        "pass_s": time.perf_counter() - started,
        "pass_cpu_s": time.process_time() - cpu,
        "pass_cpu_us_per_job": (time.process_time() - cpu) / running * 1e6,
    }


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


async def main(total: int, running: int, questions: int) -> None:
    settings, webhooks = ControlSettings(poll_interval_s=60.0), WebhookSettings()
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "jobs.db"
        sealer, engine = Sealer(Path(home) / "key"), ScriptedLauncher()
        store = SqliteStore(file, SystemClock())
        await store.open()
        await fill(store, sealer, engine, total, running)
        await store.close()
        settle(file)
        store = SqliteStore(file, SystemClock())
        await store.open()
        before = rss_mb()
        chance = random.Random(1)

        async def one_list() -> object:
            after = f"job-{chance.randrange(total)}"
            jobs, _ = await store.list_jobs(TENANT, JobFilter(), after, 50)
            return [job_view(job, None) for job in jobs]

        async def running_list() -> object:
            jobs, _ = await store.list_jobs(TENANT, JobFilter(status="running"), None, 50)
            return [job_view(job, None) for job in jobs]

        async def one_job() -> object:
            job = await store.get_job(TENANT, f"job-{chance.randrange(total)}")
            return None if job is None else job_view(job, None)

        figures = shown("list", await timed(one_list, questions))
        figures |= shown("list_running", await timed(running_list, questions))
        figures |= shown("get", await timed(one_job, questions * 5))
        figures |= shown("counts", await timed(store.counts, 20))

        async def never(*_: Any) -> Any:
            raise AssertionError("no run of these ends")

        reconciler = Reconciler(
            store=store, launchers={"scripted": engine}, sealer=sealer, settings=settings,
            webhooks=webhooks, clock=SystemClock(), verify_manifest=never, state_dir=Path(home),
            gateway_url="http://127.0.0.1", owner="bench",
        )  # fmt: skip
        figures |= await full_pass(reconciler, running, settings.workers)
        figures |= {"rss_mb": rss_mb(), "rss_before_mb": before}
        figures["database_mb"] = file.stat().st_size / 2**20
        await store.close()
    report.write("many_jobs", figures, {}, GOALS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--running", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=300)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.jobs, arguments.running, arguments.questions))
