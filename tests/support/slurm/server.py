"""`Slurmrestd`: the five calls that the launcher makes, over one partition of `cpus`; bad manners where a test asks."""

import asyncio
import contextvars
import itertools
import re
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from support.bad_manners import Trouble, answer_with, no_trouble
from support.slurm.batch import KILLED, Batch
from support.slurm.shapes import listed, submitted, variables

_PATH = re.compile(
    r"/slurm/v0\.0\.(?P<version>\d+)/(?P<what>jobs/?|job/submit|job/(?P<number>\d+))"
)


async def _at_once() -> None:
    return None


class Slurmrestd:
    """An async context manager; listens at `url`. Ended jobs are listed for `min_job_age_s`, as Slurm's MinJobAge has it.

    `kill_wait_s` lies between SIGTERM and SIGKILL; `numbers` gives those of new jobs, and may give one again.
    """

    def __init__(self, spool: Path, *, version: int, cpus: int = 4) -> None:
        self.jobs: dict[int, Batch] = {}
        self.trouble: Trouble = no_trouble
        self.boot: Callable[[], Awaitable[None]] = _at_once
        self.shown: Callable[[], list[dict[str, Any]]] = self.now_shown
        self.now_s: Callable[[], float] = time.time
        self.numbers = itertools.count(1).__next__
        self.kill_wait_s = 1.0
        self.min_job_age_s = 300.0
        self.requeue_wait_s = 120.0
        self.url = ""
        self._spool = spool
        self._version = version
        self._cpus = cpus
        self._freed = asyncio.Event()
        self._server: TestServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._spool.mkdir(parents=True, exist_ok=True)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        self.url = str(self._server.make_url("")).rstrip("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for batch in self.jobs.values():
            await batch.destroy()
        await self._server.close()

    def now_shown(self) -> list[dict[str, Any]]:
        return [listed(batch, self._version) for batch in self.jobs.values()]

    def fail_node(self, number: int, *, requeue: bool = False) -> None:
        """Everything on it is gone, and nothing was written any more; an administrator may let the job run again."""
        batch = self.jobs[number]
        batch.states = (
            ("PENDING", "REQUEUED", "COMPLETING") if requeue else ("NODE_FAIL", "COMPLETING")
        )
        batch.send(signal.SIGKILL)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        return await answer_with(self.trouble, request, lambda: self._do(request), _refusal)

    async def _do(self, request: web.Request) -> web.Response:
        if request.path == "/openapi/v3":
            return web.json_response(
                {"paths": {f"/slurm/v0.0.{self._version}/job/submit": {"post": {}}}}
            )
        found = _PATH.fullmatch(request.path)
        if found is None or int(found["version"]) != self._version:
            return web.Response(status=404, text="Unable to find requested URL")
        if found["what"] == "job/submit":
            return self._submit(await request.json())
        if found["number"] is None:
            return web.json_response({"errors": [], "jobs": self.shown()})
        batch = self.jobs.get(int(found["number"]))
        if batch is None:
            return _error("Invalid job id specified", 500)
        if request.method == "DELETE":
            self._cancel(batch)
            return web.json_response({"errors": []})
        return web.json_response({"errors": [], "jobs": [listed(batch, self._version)]})

    def _submit(self, body: dict[str, Any]) -> web.Response:
        job, number = body["job"], self.numbers()
        env = variables(job["environment"])
        batch = Batch(number, job, body["script"], env, int(self.now_s()))
        self.jobs[number] = batch
        self._spawn(self._live(batch))
        return web.json_response({"errors": [], **submitted(number, self._version)})

    def _cancel(self, batch: Batch) -> None:
        if batch.is_waiting:
            batch.states = ("CANCELLED",)
            self._freed.set()
        elif batch.states == ("RUNNING",):
            batch.states = ("CANCELLED", "COMPLETING")
            self._spawn(self._end(batch))

    async def _end(self, batch: Batch) -> None:
        batch.send(signal.SIGTERM)
        await asyncio.sleep(self.kill_wait_s)
        if not batch.is_over:
            batch.send(signal.SIGKILL)

    async def _live(self, batch: Batch) -> None:
        await self._life(batch)
        while batch.is_waiting:
            batch.states, batch.reason = ("PENDING",), "BeginTime"
            await asyncio.sleep(self.requeue_wait_s)
            await self._life(batch)
        await asyncio.sleep(self.min_job_age_s)
        if self.jobs.get(batch.number) is batch:
            del self.jobs[batch.number]

    async def _life(self, batch: Batch) -> None:
        await self.boot()
        while batch.is_waiting and self._taken() + batch.cpus > self._cpus:
            batch.reason = "Resources"
            self._freed.clear()
            await self._freed.wait()
        if batch.is_waiting:
            batch.states, batch.reason = ("RUNNING",), ""
            await self._run(batch)
        self._freed.set()

    async def _run(self, batch: Batch) -> None:
        try:
            await batch.start(self._spool)
            code = await batch.wait()
        except OSError:
            code = 1
        batch.code, batch.signal = (0, signal.SIGKILL) if code == KILLED else (code, 0)
        ended = batch.states[0]
        if ended == "PENDING":
            return
        if ended == "RUNNING":
            ended = "FAILED" if code else "COMPLETED"
        batch.states = (ended,)

    def _taken(self) -> int:
        return sum(one.cpus for one in self.jobs.values() if not one.is_waiting and not one.is_over)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """It outlives whoever asked for it."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _refusal(status: int | None) -> web.Response:
    if status is None:
        return _error("Zero Bytes were transmitted or received", 500)
    return _error("Unable to contact slurm controller (connect failure)", status)


def _error(text: str, status: int) -> web.Response:
    body = {"errors": [{"error": text, "error_number": 2017}], "jobs": []}
    return web.json_response(body, status=status)
