"""A load generator for `POST /train`: raw sockets, prepared bytes, so that the client costs little beside the server."""

import asyncio
import json
import os
import time
from pathlib import Path
from statistics import quantiles
from typing import Any


def request_bytes(port: int, token: str, body: dict[str, Any]) -> bytes:
    """One HTTP/1.1 request."""
    payload = json.dumps(body).encode()
    head = (
        f"POST /train HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


async def read_answer(reader: asyncio.StreamReader) -> int:
    """The status of one answer, its body read to the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    await reader.readexactly(length)
    return status


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(
    port: int, pid: int, requests: list[bytes], connections: int, expected: int = 201
) -> dict[str, float]:
    """Send all requests over so many connections; rates in 1/s, times in ms, CPU in µs per request of process `pid`."""
    waiting = list(reversed(requests))
    times_ms: list[float] = []

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            sent = waiting.pop()
            started = time.perf_counter()
            writer.write(sent)
            status = await read_answer(reader)
            times_ms.append((time.perf_counter() - started) * 1000)
            if status != expected:
                raise RuntimeError(f"answered {status}")
        writer.close()

    cpu, started = cpu_seconds(pid), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_connection())
    wall = time.perf_counter() - started
    cuts = quantiles(times_ms, n=100) if len(times_ms) > 1 else times_ms * 99
    return {
        "rate_per_s": len(requests) / wall,
        "p50_ms": cuts[49],
        "p99_ms": cuts[98],
        "cpu_us_per_request": (cpu_seconds(pid) - cpu) / len(requests) * 1e6,
    }
