"""A canary in every secret field, trouble at every point, debug logs on: none is found in any byte."""

import asyncio
import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from faults.egress.canary import CORE, Canaries, leaks
from faults.egress.world import World, world
from faults.report import rounds, write

pytestmark = pytest.mark.slow
JOBS = rounds(14, 1000)
TOGETHER = 4
REAL_SHARE = rounds(7, 50)
"""One in so many is a job of the real trainer."""
VIEWS = ("", "/events?limit=500", "/metrics", "/logs", "/checkpoints", "/artifacts", "/webhooks")


async def one_job(world: World, number: int) -> None:
    """Each number goes another way."""
    job_id, jobs = f"job-{number}", world.jobs
    await world.call("POST", "/train", jobs.malformed(job_id))
    await world.call("POST", "/train", b'{"job_id": "' + world.canaries.new().encode() + b'\xff"')
    real = number % REAL_SHARE == 0
    body = jobs.trainer(job_id) if real else jobs.good(job_id)
    match number % 7:
        case 1 | 2 | 5 if real:
            pass  # these are options of the other backend
        case 1:
            body["extra_parameters"] |= {"fail_code": "data_invalid"}
        case 2:
            body["extra_parameters"] |= {"exit_code": 1}
        case 3:
            body["callbacks"]["webhook_url"] = body["callbacks"]["webhook_url"].replace(
                "/ok/", "/bad/"
            )
        case 4:
            body["callbacks"]["webhook_url"] = "http://127.0.0.1:9/" + quote(world.canaries.new())
        case 5:
            body["extra_parameters"] |= {"steps": 200, "seconds_per_step": 0.1}
        case _:
            pass
    await world.call("POST", "/train?dry_run=true", body)
    job = await world.call("POST", "/train", body)
    assert job["status"] == "queued", job
    await world.call("POST", "/train", jobs.good(job_id))  # other secrets: a conflict
    if number % 7 == 5:
        await world.call("POST", f"/train/{job_id}/cancel")
    job = await world.until_final(job_id)
    if job["status"] == "failed":
        await world.call("POST", f"/train/{job_id}/retry")
        await world.call("POST", f"/train/{job_id}/retry", jobs.good(job_id))
        await world.call("POST", f"/train/{job_id}/retry", body)
    replay = {"webhook_url": f"{world.server.url}/ok/?k={quote(world.canaries.new())}",
              "auth_header": world.canaries.new()}  # fmt: skip
    await world.call("POST", f"/train/{job_id}/webhooks/replay", replay)
    for view in VIEWS:
        await world.call("GET", f"/train/{job_id}{view}")


async def campaign(world: World, count: int) -> None:
    room, half = asyncio.Semaphore(TOGETHER), asyncio.Event()

    async def run(number: int) -> None:
        async with room:
            await one_job(world, number)
        if number == count // 2:
            half.set()

    watcher = asyncio.create_task(world.watch())
    first = [run(number) for number in range(count // 2 + 1)]
    await asyncio.gather(*first)
    for number in range(3):  # what was running when the gateway was killed is found again, and ends
        await world.call("POST", "/train", world.jobs.good(f"killed-{number}"))
    await world.gateway.kill()
    await world.gateway.start()
    await asyncio.gather(*(run(number) for number in range(count // 2 + 1, count)))
    for number in range(3):
        await world.until_final(f"killed-{number}")
    await world.call("GET", "/metrics")
    await world.call("GET", "/train?limit=100")
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)


def planted_leaks_are_found() -> bool:
    """The search sees a canary in every shape, whole or cut short."""
    value = Canaries().new()
    raw = value.encode()
    shapes = [raw, raw.hex().encode(), raw.hex().upper().encode(), quote(value, safe="").encode(),
              repr(value).encode(), raw[:12], raw[-12:], value.encode("utf-16-le")]  # fmt: skip
    for shift in range(3):
        shapes += [
            base64.b64encode(bytes(shift) + raw),
            base64.urlsafe_b64encode(bytes(shift) + raw),
        ]
    return all(leaks({"": b"before " + shape + b" after"}) for shape in shapes)


async def test_no_canary_is_found(tmp_path: Path) -> None:
    async with world(tmp_path / "gateway") as made:
        await campaign(made, JOBS)
        # The planted bug: somebody logs what was sent.
        log = made.gateway.log_file
        before = made.search()
        with log.open("a") as file:
            file.write(f"sent Authorization: {made.canaries.new()}\n")
        caught = len(made.search()) > len(before) and planted_leaks_are_found()
    write("canaries", JOBS, before, planted_bug_caught=caught, planted=made.canaries.planted,
          answers=len(made.answers), pushed=len(made.server.bodies))  # fmt: skip
    assert CORE not in str(len(before))
    assert before == []
    assert caught
