"""`make bench-gateway`: how fast `POST /train` is durable, beside what it replaces, its floor, and its peers.

The gateway runs as in production (one worker, SQLite with synchronous=FULL, an access log, an event, a webhook and a
stream row per job). One long echo job fills the local launcher, so that all others are accepted and queued meanwhile.
Rounds are interleaved; one in which other processes took more of the machine than DISTURBED does not count, unless all
are such. Without `--peers` only the ancestor and the floor are measured.
"""

import argparse
import itertools
import json
import os
import signal
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from tests.bench import load, report
from tests.bench.submit import servers
from tests.bench.submit.servers import Server

from tunegate.launchers.local.command import MARK
from tunegate.launchers.local.procfs import processes_with_env
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.postgres_server import PostgresServer
from tunegate.sdk.testing.s3_server import S3Server

CANONICAL = json.loads(
    (Path(__file__).parents[2] / "config" / "jobs" / "canonical.json").read_text()
)
CONNECTIONS = (16, 64)
PEERS = ("mlflow", "procrastinate", "ray")
DISTURBED = 0.15
GOALS = {
    "ancestor_c16": 8, "ancestor_c64": 8, "ancestor_c16_p99": 0.25, "ancestor_c64_p99": 0.25,
    "floor_c64": 0.5, "floor_c64_p99": 3, "ray_jobs": 30, "mlflow": 30, "procrastinate": 2,
}  # fmt: skip
numbers = itertools.count(1)
Figures = dict[str, float]


def bodies(count: int) -> list[dict[str, Any]]:
    """Canonical requests, each with a job_id of its own."""
    return [{**CANONICAL, "job_id": f"bench-{next(numbers)}"} for _ in range(count)]


def blocker() -> dict[str, Any]:
    """A job that holds this machine's processors for an hour, so that no other run starts."""
    return bodies(1)[0] | {
        "backend": "echo",
        "extra_parameters": {"steps": 1, "seconds_per_step": 3600.0},
    }


@asynccontextmanager
async def gateway(home: Path, s3: S3Server) -> AsyncGenerator[Server]:
    """A fresh one, its launcher full."""
    async with GatewayProcess(home, s3) as running:
        port = int(running.url.rsplit(":", 1)[1])
        server = Server(
            port, [running.pid], lambda body: load.request_bytes(port, running.token, body)
        )
        await measure(server, [blocker()], 1)
        yield server
    end_runs(running.state_dir)


def end_runs(state_dir: Path) -> None:
    """Kill what the gateway left running: it was stopped before, so that nothing takes the free place."""
    for folder in (state_dir / "runs").iterdir():
        for pid in processes_with_env(MARK, str(folder)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def measure(server: Server, jobs: list[dict[str, Any]], connections: int) -> Figures:
    requests = [server.request(body) for body in jobs]
    return await load.run(server.port, server.pids, requests, connections, server.expected)


async def interleaved(home: Path, s3: S3Server, rounds: int, count: int) -> Figures:
    """Medians over the rounds, by `<server>_c<connections>_<figure>`."""
    shares = {"tunegate": 1.0, "ancestor": 0.2, "fastapi_today": 0.5, "floor": 1.0}
    measured: list[Figures] = []
    async with AsyncExitStack() as stack:
        others = {
            "ancestor": await stack.enter_async_context(servers.ancestor()),
            "fastapi_today": await stack.enter_async_context(servers.ancestor("fastapi-today")),
            "floor": await stack.enter_async_context(servers.floor()),
        }
        for number in range(rounds):
            figures: Figures = {}
            async with gateway(home / f"gateway{number}", s3) as ours:
                for server in (ours, *others.values()):  # none is cold
                    await measure(server, bodies(100), 16)
                for connections in CONNECTIONS:
                    for name, server in {"tunegate": ours, **others}.items():
                        jobs = bodies(int(count * shares[name]))
                        result = await measure(server, jobs, connections)
                        figures |= {f"{name}_c{connections}_{k}": v for k, v in result.items()}
            measured.append(figures)
    return report.medians(undisturbed(measured))


def undisturbed(measured: list[Figures]) -> list[Figures]:
    """The rounds that count."""

    def disturbance(figures: Figures) -> float:
        return max(value for key, value in figures.items() if key.endswith("_disturbed"))

    quiet = [figures for figures in measured if disturbance(figures) <= DISTURBED]
    if not quiet:
        print("Every round was disturbed by other processes: read CPU per request, not rates.")
    return quiet or measured


async def peers(chosen: list[str], rounds: int, count: int) -> Figures:
    """Each alone, its rate at 16 connections (Ray: at one, more make it refuse)."""
    figures: Figures = {}
    if "mlflow" in chosen:
        async with servers.mlflow() as server:
            await measure(server, bodies(10), 1)
            found = [await measure(server, bodies(count // 20), 16) for _ in range(rounds)]
        figures["mlflow_rate_per_s"] = median(one["rate_per_s"] for one in found)
    if "procrastinate" in chosen:
        with PostgresServer() as postgres:
            found = [await servers.procrastinate(postgres.url(), 16, count) for _ in range(rounds)]
        figures["procrastinate_rate_per_s"] = median(one["rate_per_s"] for one in found)
    if "ray" in chosen:
        async with servers.ray() as server:
            found = [await measure(server, bodies(5), 1) for _ in range(rounds)]
        figures["ray_jobs_rate_per_s"] = median(one["rate_per_s"] for one in found)
    return figures


def ratios_of(figures: Figures) -> Figures:
    """Ours over theirs: rates, slowest requests, CPU of the server."""
    found: Figures = {}
    for other in ("ancestor", "floor"):
        for connections in CONNECTIONS:
            name = f"{other}_c{connections}"
            for key, suffix in (
                ("rate_per_s", ""),
                ("p99_ms", "_p99"),
                ("cpu_us_per_request", "_cpu"),
            ):
                ours = figures[f"tunegate_c{connections}_{key}"]
                found[name + suffix] = ours / figures[f"{name}_{key}"]
    for peer in ("mlflow", "procrastinate", "ray_jobs"):
        if f"{peer}_rate_per_s" in figures:
            found[peer] = figures["tunegate_c16_rate_per_s"] / figures[f"{peer}_rate_per_s"]
    return found


async def main(rounds: int, count: int, chosen: list[str]) -> None:
    with tempfile.TemporaryDirectory() as home, S3Server(Path(home) / "s3") as s3:
        figures = await interleaved(Path(home), s3, rounds, count)
    figures |= await peers(chosen, rounds, count)
    ratios = ratios_of(figures)
    report.write("gateway", figures, ratios, {k: v for k, v in GOALS.items() if k in ratios})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[], help="measured as well")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.rounds, arguments.requests, arguments.peers))
