"""The head: job table, packages and placement groups, with bad manners where a test asks for them.

A job's driver is not run: what the gateway left for it is read, and a `Runner` lives it.
"""

import asyncio
import base64
import json
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from support.bad_manners import Trouble, answer_with, no_trouble

CAPACITY = 4
_JOB = re.compile(r"/api/jobs/(?P<name>[^/]*)(?P<verb>/stop|/logs|/logs/tail)?")
_PACKAGE = re.compile(r"/api/packages/gcs/(?P<name>[^/]+)")


@dataclass
class Job:
    """`plan` and `files` as the driver found them; `said` gives its whole log."""

    submission_id: str
    metadata: dict[str, str]
    status: str = "PENDING"
    driver_exit_code: int | None = None
    waits: bool = False
    asked: bool = False
    plan: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    said: Callable[[], bytes] = bytes

    @property
    def is_over(self) -> bool:
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")

    @property
    def cpus(self) -> float:
        return sum(bundle["CPU"] for bundle in self.plan.get("bundles", ()))

    def described(self) -> dict[str, Any]:
        return {
            "submission_id": self.submission_id, "status": self.status, "metadata": self.metadata,
            "driver_exit_code": self.driver_exit_code, "type": "SUBMISSION",
        }  # fmt: skip

    def end(self, code: int) -> None:
        """As the driver would leave."""
        own = code if code not in self.plan.get("codes", {}).values() else 1
        self.driver_exit_code = own
        ended = "FAILED" if own else "SUCCEEDED"
        self.status = "STOPPED" if self.asked else ended


class Runner(ABC):
    """Makes jobs live; calls `Job.end` when one ends."""

    @abstractmethod
    async def start(self, job: Job) -> None: ...

    @abstractmethod
    def stop(self, job: Job, grace_s: float) -> None: ...

    async def close(self) -> None: ...


class RayApi:
    """An async context manager; listens at `url`."""

    def __init__(self, runner: Runner) -> None:
        self.jobs: dict[str, Job] = {}
        self.packages: dict[str, bytes] = {}
        self.trouble: Trouble = no_trouble
        self.listed: Callable[[], list[dict[str, Any]]] = self.now_listed
        self.capacity: float = CAPACITY
        self.url = ""
        self._runner = runner
        self._server: TestServer | None = None
        self._drivers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        self.url = str(self._server.make_url("")).rstrip("/")
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        for driver in self._drivers:
            driver.cancel()
        await asyncio.gather(*self._drivers, return_exceptions=True)
        await self._runner.close()
        await self._server.close()

    def now_listed(self) -> list[dict[str, Any]]:
        return [job.described() for job in self.jobs.values()]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        return await answer_with(self.trouble, request, lambda: self._do(request), _refusal)

    async def _do(self, request: web.Request) -> web.StreamResponse:
        if package := _PACKAGE.fullmatch(request.path):
            return await self._package(request, package["name"])
        if request.path == "/api/v0/placement_groups":
            return web.json_response({"data": {"result": {"result": self._groups()}}})
        found = _JOB.fullmatch(request.path)
        if found is None:
            return web.Response(status=404)
        if not found["name"]:
            if request.method == "GET":
                return web.json_response(self.listed())
            return self._submit(await request.json())
        job = self.jobs.get(found["name"])
        if job is None:
            return web.Response(status=404, text=f"Job {found['name']} does not exist")
        return await self._of_job(request, job, found["verb"])

    async def _of_job(self, request: web.Request, job: Job, verb: str | None) -> web.StreamResponse:
        if verb == "/stop":
            self._stop(job)
            return web.json_response({"stopped": True})
        if verb == "/logs":
            return web.json_response({"logs": job.said().decode(errors="replace")})
        if verb == "/logs/tail":
            return await self._tail(request, job)
        if request.method == "DELETE":
            if not job.is_over:
                return web.Response(status=500, text="RuntimeError: the job is not over")
            del self.jobs[job.submission_id]
            return web.json_response({"deleted": True})
        return web.json_response(job.described())

    async def _package(self, request: web.Request, name: str) -> web.Response:
        if request.method == "PUT":
            self.packages[name] = await request.read()
            return web.Response()
        return web.Response(status=200 if name in self.packages else 404)

    def _submit(self, body: dict[str, Any]) -> web.Response:
        name = body["submission_id"]
        if name in self.jobs:
            text = f"Traceback:\nValueError: Job with submission_id {name} already exists."
            return web.Response(status=500, text=text)
        job = self.jobs[name] = Job(name, body["metadata"])
        key, absent = shlex.split(body["entrypoint"])[-2:]
        driver = asyncio.create_task(self._drive(job, key.removeprefix("gcs://"), int(absent)))
        self._drivers.add(driver)
        driver.add_done_callback(self._drivers.discard)
        return web.json_response({"submission_id": name})

    async def _drive(self, job: Job, package: str, absent: int) -> None:
        """What onboard/driver.py does, as far as the gateway sees it."""
        job.status = "RUNNING"
        parcel = json.loads(self.packages.pop(package, b"null"))
        if parcel is None:
            job.end(absent)
            return
        job.plan = parcel["plan"]
        job.files = {path: base64.b64decode(text) for path, text in parcel["files"].items()}
        job.waits = True
        while self._taken() + job.cpus > self.capacity:
            await asyncio.sleep(0.05)
            if job.asked:
                job.end(0)
                return
        job.waits = False
        await self._runner.start(job)

    def _taken(self) -> float:
        return sum(job.cpus for job in self.jobs.values() if not job.is_over and not job.waits)

    def _stop(self, job: Job) -> None:
        if job.is_over:
            return
        note = self.packages.get(f"tunegate-{job.submission_id}.stop")
        grace_s = json.loads(note)["grace_s"] if note else job.plan.get("grace_s", 0.0)
        job.asked = True
        self._runner.stop(job, grace_s)

    def _groups(self) -> list[dict[str, Any]]:
        alive = [job for job in self.jobs.values() if job.plan and not job.is_over]
        return [
            {
                "name": job.submission_id,
                "state": "PENDING" if job.waits else "CREATED",
                "stats": {"scheduling_state": "NO_RESOURCES" if job.waits else "FINISHED"},
            }
            for job in alive
        ]

    async def _tail(self, request: web.Request, job: Job) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        offset = 0
        while True:
            over = job.is_over
            said = job.said()[offset:]
            offset += len(said)
            if said:
                await socket.send_str(said.decode(errors="replace"))
            if over:
                break
            await asyncio.sleep(0.02)
        await socket.close()
        return socket


def _refusal(status: int | None) -> web.Response:
    return web.Response(status=status or 500, text="Traceback: the head has trouble of its own")
