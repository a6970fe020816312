"""`make bench-gateway`: how fast `POST /train` is durable, beside the in-memory service that it replaces.

The gateway runs as in production (one worker, SQLite with synchronous=FULL, webhook row per job). One long echo
job fills the local launcher, so that all others are accepted, queued and launched into its queue meanwhile.
"""

import argparse
import asyncio
import copy
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.bench import load, report

from tunegate.launchers.local.command import MARK
from tunegate.launchers.local.procfs import processes_with_env
from tunegate.sdk.testing.gateway_process import GatewayProcess, free_port
from tunegate.sdk.testing.s3_server import S3Server

HERE = Path(__file__).parent
CANONICAL = json.loads((HERE.parents[1] / "config" / "jobs" / "canonical.json").read_text())
CONNECTIONS = (1, 16, 64)
numbers = itertools.count(1)


def bodies(count: int) -> list[dict[str, Any]]:
    """Canonical requests, each with a job_id of its own."""
    found: list[dict[str, Any]] = []
    for _ in range(count):
        body = copy.deepcopy(CANONICAL)
        body["job_id"] = f"bench-{next(numbers)}"
        found.append(body)
    return found


def blocker() -> dict[str, Any]:
    """A job that holds this machine's processors for an hour, so that no other run starts."""
    body = bodies(1)[0]
    return body | {"backend": "echo", "extra_parameters": {"steps": 1, "seconds_per_step": 3600.0}}


def peer_python() -> Path:
    """An environment with the replaced service's libraries, made once."""
    folder = report.BUILD / "peers" / "fastapi"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "fastapi", "uvicorn[standard]"], check=True
        )
    return python


async def start_replaced() -> tuple[asyncio.subprocess.Process, int]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        str(peer_python()), str(HERE / "replaced_service.py"), str(port)
    )
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return process, port
            except OSError:
                await asyncio.sleep(0.05)


def end_runs(state_dir: Path) -> None:
    """Kill what the gateway left running: it was stopped before, so that nothing takes the free place."""
    for folder in (state_dir / "runs").iterdir():
        for pid in processes_with_env(MARK, str(folder)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def main(rounds: int, count: int) -> None:
    measured: list[dict[str, float]] = []
    replaced, replaced_port = await start_replaced()
    with tempfile.TemporaryDirectory() as home, S3Server(Path(home) / "s3") as s3:
        for number in range(rounds):
            async with GatewayProcess(Path(home) / f"gateway{number}", s3) as gateway:
                figures = {"ready_s": gateway.seconds_to_ready}
                port = int(gateway.url.rsplit(":", 1)[1])
                await load.run(
                    port, gateway.pid, [load.request_bytes(port, gateway.token, blocker())], 1
                )
                for connections in CONNECTIONS:
                    share = count if connections > 1 else count // 10
                    ours = [load.request_bytes(port, gateway.token, body) for body in bodies(share)]
                    theirs = [
                        load.request_bytes(replaced_port, "none", body) for body in bodies(share)
                    ]
                    result = await load.run(port, gateway.pid, ours, connections)
                    peer = await load.run(replaced_port, replaced.pid, theirs, connections)
                    figures |= {
                        f"tunegate_{connections}_{key}": value for key, value in result.items()
                    }
                    figures |= {
                        f"replaced_{connections}_{key}": value for key, value in peer.items()
                    }
                measured.append(figures)
            end_runs(gateway.state_dir)
    replaced.terminate()
    await replaced.wait()
    figures = report.medians(measured)
    ratios = {
        f"durable_rate_over_replaced_{n}": figures[f"tunegate_{n}_rate_per_s"]
        / figures[f"replaced_{n}_rate_per_s"]
        for n in CONNECTIONS
    }
    report.write("gateway", figures, ratios, {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, arguments.requests))
