"""`make bench-streams`: 2,000 event streams of a gateway, on one job and on 200: gaps, and how late events come.

Each event says when it was written (before its commit), so that every client can tell its delay.
"""

import argparse
import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

import uvloop
from tests.bench import load, report
from tests.bench.stream_server import MARK

from tunegate.sdk.testing.gateway_process import free_port

GOALS = {
    "one_job_gaps": 0,
    "many_jobs_gaps": 0,
    "one_job_p99_ms": 250,
    "many_jobs_p99_ms": 250,
}
_CONFIG = 'state_dir = "{home}/state"\n[server]\nmax_streams = 5000\n'


class Client(asyncio.Protocol):
    """One stream: the numbers of its events, and the delay of those that say when they were written."""

    def __init__(self, request: bytes, delays_ms: list[float]) -> None:
        self._request = request
        self._delays_ms = delays_ms
        self._rest = b""
        self.numbers: list[int] = []

    def connection_made(self, transport: Any) -> None:
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now_s = time.time()
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            at = (b"\n" + frame).find(b"\nid: ")  # x-request-id is none
            if at < 0:
                continue
            self.numbers.append(int(frame[at + 4 :].split(b"\n", 1)[0]))
            written = frame.find(MARK.encode())
            if written >= 0:
                moment_s = float(frame[written + len(MARK) :].split(b'"', 1)[0])
                self._delays_ms.append((now_s - moment_s) * 1000)

    def gaps(self, last: int) -> int:
        """Numbers that are missing or come twice, up to the job's last one."""
        wrong = sum(now != before + 1 for before, now in itertools.pairwise([0, *self.numbers]))
        return wrong + max(0, last - len(self.numbers))


async def follow(jobs: int, clients: int, per_s: float, seconds: float) -> dict[str, float]:
    port, delays_ms = free_port(), list[float]()
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "gateway.toml"
        config.write_text(_CONFIG.format(home=home))
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.stream_server", str(config), str(port), str(jobs), str(per_s),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "TRAINER_API_TOKEN": "t" * 32},
        )  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            async with asyncio.timeout(60):
                while b"ready" not in await server.stdout.readline():
                    pass
            opened = await connect(port, jobs, clients, delays_ms)
            cpu = load.cpu_seconds(server.pid)
            server.stdin.write(f"{seconds}\n".encode())
            async with asyncio.timeout(seconds * 4 + 30):
                while b"wrote" not in await server.stdout.readline():
                    pass
            await asyncio.sleep(3)
            used = load.cpu_seconds(server.pid) - cpu
        finally:
            server.send_signal(signal.SIGKILL)
            await server.wait()
    events = int(per_s * seconds)
    gaps = sum(
        client.gaps(1 + len(range(index % jobs, events, jobs)))
        for index, client in enumerate(opened)
    )
    cuts = quantiles(delays_ms, n=100)
    frames = len(delays_ms)
    return {
        "gaps": gaps, "frames": frames, "p50_ms": cuts[49], "p99_ms": cuts[98],
        "cpu_us_per_frame": used / frames * 1e6,
    }  # fmt: skip


async def connect(port: int, jobs: int, clients: int, delays_ms: list[float]) -> list[Client]:
    """All clients, once each has seen what was there."""
    loop, opened = asyncio.get_running_loop(), list[Client]()
    for index in range(clients):
        head = (
            f"GET /train/job-{index % jobs}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {'t' * 32}\r\nAccept: text/event-stream\r\n\r\n"
        )
        client = Client(head.encode(), delays_ms)
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
        opened.append(client)
    async with asyncio.timeout(60):
        while not all(client.numbers for client in opened):  # noqa: ASYNC110  a bench may look
            await asyncio.sleep(0.1)
    return opened


async def main(clients: int, jobs: int, seconds: float) -> None:
    one = await follow(1, clients, 2.0, seconds)
    many = await follow(jobs, clients, 200.0, seconds)
    figures = {f"one_job_{key}": value for key, value in one.items()}
    figures |= {f"many_jobs_{key}": value for key, value in many.items()}
    report.write("streams", figures, {}, GOALS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.clients, arguments.jobs, arguments.seconds))
