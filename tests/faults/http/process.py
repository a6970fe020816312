"""A real gateway in a process of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from faults.http.gateway import TOKEN
from tunegate.sdk.testing.gateway_process import free_port


@asynccontextmanager
async def process(home: Path) -> AsyncIterator[tuple[str, int]]:
    """`tunegate serve`, where nothing that is accepted can start: there is no GPU, and all good bodies want one."""
    home.mkdir(parents=True)
    port = free_port()
    environment = os.environ | {
        "TRAINER_API_TOKEN": TOKEN,
        "TUNEGATE_STATE_DIR": str(home),
        "TUNEGATE_SERVER__PORT": str(port),
        "TUNEGATE_SERVER__ACCESS_LOG": "false",
        "TUNEGATE_CONTROL__DEFAULT_LAUNCHER": "nowhere",
    }
    with (home / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tunegate.cli", "serve", env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None, (home / "log").read_text()
                try:
                    async with session.get(f"{url}/healthz") as answer:
                        assert answer.status == 200
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        yield url, process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
