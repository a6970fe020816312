"""What `POST /train` is held against: each server in an environment of its own, on loopback, ended with its block."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import load, report

from tunegate.sdk.testing.gateway_process import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PACKAGES = {
    "ancestor": ("fastapi==0.110.3", "pydantic==1.10.24", "uvicorn[standard]==0.29.0"),
    "fastapi-today": ("fastapi", "pydantic>=2", "uvicorn[standard]"),
    "mlflow": ("mlflow==3.17.2",),
    "procrastinate": ("procrastinate==3.10.0", "psycopg[binary,pool]"),
    "ray": ("ray[default]==2.60.0",),
}
_START_S = 120.0


@dataclass(frozen=True)
class Server:
    """Where it listens, the processes whose CPU counts, and one request for the n-th job."""

    port: int
    pids: list[int]
    request: Callable[[dict[str, Any]], bytes]
    expected: int = 201


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made once."""
    folder = report.BUILD.parent / "peers" / peer
    ready = folder / "ready"
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES[peer]]
        subprocess.run(pip, check=True)
        ready.touch()
    return folder / "bin" / "python"


@asynccontextmanager
async def process(
    argv: Sequence[str], port: int, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> AsyncGenerator[int]:
    """The pid of a server that answers on `port`; it and all of its group are gone afterwards."""
    with tempfile.TemporaryFile() as log:
        running = await asyncio.create_subprocess_exec(
            *argv, cwd=cwd, env={**os.environ, **(env or {})}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            await _until_open(port, running)
            yield running.pid
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            await running.wait()


@asynccontextmanager
async def ancestor(peer: str = "ancestor") -> AsyncGenerator[Server]:
    """FastAPI and pydantic, jobs in a dict; `fastapi-today` is the same code on today's releases."""
    port = free_port()
    argv = (str(python_of(peer)), str(HERE / "ancestor.py"), str(port))
    async with process(argv, port) as pid:
        yield Server(port, [pid], lambda body: load.request_bytes(port, "none", body))


@asynccontextmanager
async def floor() -> AsyncGenerator[Server]:
    """Our server stack with decode and group commit alone."""
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        argv = (sys.executable, "-m", "tests.bench.submit.floor", str(port), home)
        async with process(argv, port) as pid:
            yield Server(port, [pid], lambda body: load.request_bytes(port, "none", body))


@asynccontextmanager
async def mlflow() -> AsyncGenerator[Server]:
    """Its tracking server on SQLite, one worker: runs are created."""
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        store = (
            "--backend-store-uri",
            f"sqlite:///{home}/mlflow.db",
            "--artifacts-destination",
            home,
        )
        argv = (
            str(python_of("mlflow")), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", *store,
        )  # fmt: skip
        async with process(argv, port, cwd=Path(home)) as pid:
            body = {"experiment_id": "0", "start_time": 0}
            path = "/api/2.0/mlflow/runs/create"
            yield Server(port, [pid], lambda _: load.request_bytes(port, "none", body, path), 200)


@asynccontextmanager
async def ray() -> AsyncGenerator[Server]:
    """The Jobs API of a head node: jobs that do nothing are submitted."""
    port, gcs = free_port(), free_port()
    python = python_of("ray")
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as home:
        argv = (
            str(python.with_name("ray")), "start", "--head", "--block", "--node-ip-address=127.0.0.1",
            f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}", "--num-cpus=2",
            "--object-store-memory=100000000", f"--temp-dir={home}", "--disable-usage-stats",
        )  # fmt: skip
        async with process(argv, port, env={"RAY_USAGE_STATS_ENABLED": "0"}) as pid:
            await asyncio.sleep(5)  # the dashboard listens before its job agent is there
            body = {"entrypoint": "true"}
            yield Server(
                port, [pid], lambda _: load.request_bytes(port, "none", body, "/api/jobs/"), 200
            )


async def procrastinate(url: str, tasks: int, count: int) -> dict[str, float]:
    """Jobs deferred by library calls, without HTTP: rate in 1/s, times in ms."""
    argv = (str(python_of("procrastinate")), str(HERE / "defer.py"), url, str(tasks), str(count))
    done = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    out, _ = await done.communicate()
    if done.returncode:
        raise RuntimeError("procrastinate could not be measured")
    return json.loads(out.splitlines()[-1])


async def _until_open(port: int, running: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(_START_S):
        while running.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return
    raise RuntimeError("the server did not start")
