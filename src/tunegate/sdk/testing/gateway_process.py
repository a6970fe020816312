"""A real gateway in its own process: for the demo, for integration tests, and for plugin authors' own."""

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import aiohttp

from tunegate.sdk.testing.s3_server import S3Server

CONFIG = """\
# A gateway for this machine alone: no GPU needed, private addresses and the operator's own AWS identity allowed.
state_dir = "{state}"

[server]
host = "127.0.0.1"
port = {port}

[launchers.local]
cpu_fallback = true
env = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OMP_NUM_THREADS"]

[trainer]
trainable_layers_advisory = true

[storage]
s3_endpoint_url = "{s3}"
sts_endpoint_url = "{s3}"
s3_path_style = true
allow_private_addresses = true
allow_http = true
allow_ambient_credentials = true
file_roots = ["{home}"]

[egress]
allow_http = true
allow_private_addresses = true
allowed_ports = []
"""


def free_port() -> int:
    """A TCP port that nobody holds right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class GatewayProcess:
    """`tunegate serve` on loopback, with state, log and configuration below `home`; an async context manager.

    The AWS identity of the operator (the one that may assume the jobs' roles) is the S3 server's own; without a server
    jobs must do without S3. `environment` wins over all: replicas are given one token, database and state folder by it.
    `kill` and `start` may be called in turn: the port, token and state stay the same.
    """

    def __init__(
        self,
        home: Path,
        s3: S3Server | None,
        *,
        extra_config: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        given = dict(environment or {})
        self.token = given.setdefault("TRAINER_API_TOKEN", secrets.token_urlsafe(24))
        self.home = home
        self.state_dir = home / "state"
        self.log_file = home / "gateway.log"
        self.seconds_to_ready = 0.0
        self._port = free_port()
        self._config = extra_config + CONFIG.format(
            state=self.state_dir,
            home=home,
            port=self._port,
            s3=s3.endpoint_url if s3 else "http://127.0.0.1:9",
        )
        self._environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": s3.access_key if s3 else "none",
            "AWS_SECRET_ACCESS_KEY": s3.secret_key if s3 else "none",
            **given,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the running gateway."""
        if self._process is None:
            raise RuntimeError("the gateway is not running")
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises RuntimeError with its log when it ends instead."""
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "gateway.toml"
        config.write_text(self._config)
        started = time.monotonic()
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tunegate.cli", "serve", "--config", str(config)),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
            )
        await self._wait_until_ready(self._process)
        self.seconds_to_ready = time.monotonic() - started

    async def stop(self) -> None:
        """End it as an operator would."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a crash would."""
        await self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it in its tracks, as a paused machine would; nobody's connection is closed."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(how)
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)  # a frozen one ends too
            await process.wait()

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while process.returncode is None:
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.02)
        raise RuntimeError(f"the gateway did not start:\n{self.log_file.read_text()}")
