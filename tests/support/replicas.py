"""Several gateways on one PostgreSQL and one machine, behind a load balancer."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from support.tcp_proxy import TcpProxy
from tunegate.sdk.testing.gateway_process import GatewayProcess

LEASE_S = 2.0


class Replicas:
    """`proxy` is what trainers and careless clients talk to."""

    def __init__(self, home: Path, url: str, number: int, lease_s: float = LEASE_S) -> None:
        self.home = home
        self.proxy = TcpProxy()
        self.gateways: list[GatewayProcess] = []
        self.token = secrets.token_urlsafe(24)
        self._url = url
        self._number = number
        self._lease_s = lease_s

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Replicas"]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.proxy)
            environment = {
                "TRAINER_API_TOKEN": self.token,
                "TUNEGATE_DATABASE_URL": self._url,
                "TUNEGATE_STATE_DIR": str(self.home / "state"),
                "TUNEGATE_SERVER__PUBLIC_URL": self.proxy.url,
                "TUNEGATE_CONTROL__LEASE_S": str(self._lease_s),
                "TUNEGATE_CONTROL__POLL_INTERVAL_S": "0.5",
                "TUNEGATE_LAUNCHERS__LOCAL__CPUS": "16",
                "TUNEGATE_LAUNCHERS__LOCAL__MEMORY_GB": "64",
                "TUNEGATE_WEBHOOKS__FIRST_DELAY_S": "0",
                "TUNEGATE_STORAGE__FILE_ROOTS": json.dumps([str(self.home)]),
            }
            self.gateways = [
                GatewayProcess(self.home / f"gateway-{number}", None, environment=environment)
                for number in range(self._number)
            ]
            for gateway in self.gateways:
                stack.push_async_callback(gateway.stop)
            await asyncio.gather(*(gateway.start() for gateway in self.gateways))
            self.balance(*self.gateways)
            yield self

    def balance(self, *gateways: GatewayProcess) -> None:
        """New connections go to these."""
        self.proxy.targets = [port_of(gateway) for gateway in gateways]

    def trainers(self) -> set[int]:
        """Process ids of the trainers that run now."""
        found: set[int] = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                argv = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            ours = any(str(self.home).encode() in argument for argument in argv)
            if ours and b"tunegate_echo" in argv:
                found.add(int(folder.name))
        return found

    def body(self, job_id: str, **extra: Any) -> dict[str, Any]:
        """A job for the echo backend, with its result in a folder."""
        out = self.home / "gateway-0" / "out"
        return {
            "job_id": job_id,
            "backend": "echo",
            "base_model": {"provider": "huggingface", "model_name": "a/b"},
            "customization": {"method": "lora"},
            "resources": {"gpus": 0, "cpus": 1, "memory_gb": 1, "max_duration_minutes": 10},
            "datasets": [{"source": f"file://{self.home}/rows.jsonl", "format": "auto"}],
            "artifacts": {"output_uri": f"file://{out}"},
            "extra_parameters": extra,
        }


def port_of(gateway: GatewayProcess) -> int:
    port = urlsplit(gateway.url).port
    assert port is not None
    return port


async def stream_events(
    url: str, token: str, job_id: str, after: int = 0
) -> AsyncGenerator[dict[str, Any]]:
    """The events of a job as they come over SSE, until the stream ends."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    if after:
        headers["Last-Event-ID"] = str(after)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.get(f"{url}/train/{job_id}/events", headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if line.startswith(b"data:"):
                yield json.loads(line.removeprefix(b"data:"))
