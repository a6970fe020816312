"""procrastinate's `defer_async` on PostgreSQL, in an environment of its own: `python defer.py URL TASKS COUNT`."""

import asyncio
import json
import sys
import time
from statistics import quantiles

import procrastinate


async def main(url: str, tasks: int, count: int) -> None:
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=tasks, max_size=tasks)
    app = procrastinate.App(connector=connector)

    @app.task(name="train")
    async def train(job: dict) -> None: ...

    body = {"job_id": "x" * 32, "request": "y" * 1500}
    times_ms: list[float] = []
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()

        async def defer(share: int) -> None:
            for _ in range(share):
                started = time.perf_counter()
                await train.defer_async(job=body)
                times_ms.append((time.perf_counter() - started) * 1000)

        await defer(20)
        times_ms.clear()
        started = time.perf_counter()
        await asyncio.gather(*(defer(count // tasks) for _ in range(tasks)))
        wall = time.perf_counter() - started
    cuts = quantiles(times_ms, n=100)
    print(json.dumps({"rate_per_s": len(times_ms) / wall, "p50_ms": cuts[49], "p99_ms": cuts[98]}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
