"""A gateway that is born of a zygote, lives in one folder, and dies often."""

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import aiohttp

from faults.gateway_kills.trainer import write_program
from tunegate.sdk.testing.gateway_process import CONFIG, free_port

TESTS = Path(__file__).parents[2]
SETTINGS = {
    "TUNEGATE_CONTROL__LEASE_S": "1",
    "TUNEGATE_CONTROL__POLL_INTERVAL_S": "0.3",
    "TUNEGATE_CONTROL__GRACE_S": "2",
    "TUNEGATE_LAUNCHERS__LOCAL__CPUS": "16",
    "TUNEGATE_LAUNCHERS__LOCAL__MEMORY_GB": "64",
    "TUNEGATE_WEBHOOKS__FIRST_DELAY_S": "0",
    "TUNEGATE_WEBHOOKS__TIMEOUT_S": "1",
}
START_LIMIT_S = 60.0


class MortalGateway:
    """An async context manager; `start` and `kill` may be called in turn: port, token and state stay the same."""

    def __init__(self, home: Path, environment: Mapping[str, str], plant: str | None) -> None:
        home.mkdir(parents=True)
        self.home = home
        self.token = secrets.token_urlsafe(24)
        self.journal = home / "trainers.log"
        self.record = home / "counts"
        self.log = home / "gateway.log"
        self._plant = plant
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = CONFIG.format(state=home / "state", home=home, port=port, s3="http://127.0.0.1:9")
        (home / "gateway.toml").write_text(config)
        program = write_program(home / "trainer", self.journal)
        self._environment = {
            **SETTINGS,
            **environment,
            "TRAINER_API_TOKEN": self.token,
            "TUNEGATE_LAUNCHERS__LOCAL__PYTHON": str(program),
        }
        self._zygote: asyncio.subprocess.Process | None = None
        self._pid: int | None = None

    async def __aenter__(self) -> Self:
        self._zygote = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "faults.gateway_kills.zygote"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        assert await self._line() == "ready"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.kill()
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        await self._zygote.wait()

    async def start(self, kind: str | None = None, number: int = 0) -> None:
        """Begin a life that ends at this moment."""
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        asked = {
            "config": str(self.home / "gateway.toml"),
            "environment": self._environment,
            "log": str(self.log),
            "record": str(self.record),
            "kind": kind,
            "number": number,
            "plant": self._plant,
        }
        self._zygote.stdin.write(json.dumps(asked).encode() + b"\n")
        self._pid = int((await self._line()).split()[1])

    async def wait(self, limit_s: float) -> int | None:
        """The exit status, or None when it lives on after `limit_s`."""
        line = asyncio.ensure_future(self._line())
        await asyncio.wait([line], timeout=limit_s)
        if not line.done():
            self._waiting = line
            return None
        self._pid = None
        return int(line.result().split()[1])

    async def kill(self) -> None:
        """Now, if it lives."""
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            await self.wait(START_LIMIT_S)

    async def ready(self) -> int | None:
        """None once it answers, or the exit status of one that died before."""
        end_s = time.monotonic() + START_LIMIT_S
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < end_s:
                status = await self.wait(0.03)
                if status is not None:
                    return status
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return None
        raise RuntimeError(f"the gateway did not start:\n{self.log.read_text()[-3000:]}")

    async def _line(self) -> str:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            return await waiting
        assert self._zygote is not None
        assert self._zygote.stdout is not None
        return (await self._zygote.stdout.readline()).decode().strip()

    _waiting: "asyncio.Future[str] | None" = None
