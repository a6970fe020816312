"""A load generator for `POST /train`: prepared bytes on kept connections, so that it costs little beside a server."""

import asyncio
import json
import os
import time
from pathlib import Path
from statistics import quantiles
from typing import Any, cast


def request_bytes(port: int, token: str, body: dict[str, Any], path: str = "/train") -> bytes:
    """One HTTP/1.1 request."""
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


class Connection(asyncio.Protocol):
    """Sends one request after the other until none waits; notes how long each answer took, in ms."""

    def __init__(self, waiting: list[bytes], times_ms: list[float], expected: int) -> None:
        self._waiting = waiting
        self._times_ms = times_ms
        self._expected = expected
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0 or len(self._answer) < end + 4 + content_length(self._answer[:end]):
            return
        self._times_ms.append((time.perf_counter() - self._sent) * 1000)
        status = int(self._answer[9:12])
        if status != self._expected:
            self._fail(f"answered {status}: {bytes(self._answer[end:][:300])!r}")
        else:
            self._answer.clear()
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed the connection")

    def _send(self) -> None:
        if not self._waiting:
            self._transport.close()
            self.done.set_result(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(self._waiting.pop())

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))


def content_length(head: bytes | bytearray) -> int:
    """Of an answer; the servers here all say it."""
    at = head.lower().index(b"content-length:") + 15
    return int(head[at:].split(b"\r", 1)[0])


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_seconds() -> float:
    """CPU time that all processes of this machine have used."""
    user, nice, system, _idle, _wait, irq, soft = map(
        int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8]
    )
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


async def run(
    port: int, pids: list[int], requests: list[bytes], connections: int, expected: int = 201
) -> dict[str, float]:
    """Send all requests over so many connections; rates in 1/s, times in ms, CPU in µs per request of processes `pids`.

    `disturbed` is the share of the machine that processes other than these and this one took meanwhile.
    """
    waiting, times_ms = list(reversed(requests)), list[float]()
    loop = asyncio.get_running_loop()
    own, machine = sum(map(cpu_seconds, [*pids, os.getpid()])), machine_seconds()
    cpu, started = sum(map(cpu_seconds, pids)), time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: Connection(waiting, times_ms, expected), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in opened))
    wall = time.perf_counter() - started
    used = sum(map(cpu_seconds, pids)) - cpu
    own = sum(map(cpu_seconds, [*pids, os.getpid()])) - own
    others = machine_seconds() - machine - own
    cuts = quantiles(times_ms, n=100) if len(times_ms) > 1 else times_ms * 99
    return {
        "rate_per_s": len(requests) / wall,
        "p50_ms": cuts[49],
        "p99_ms": cuts[98],
        "cpu_us_per_request": used / len(requests) * 1e6,
        "disturbed": max(0.0, others) / wall / (os.cpu_count() or 1),
    }
