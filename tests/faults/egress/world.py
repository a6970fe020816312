"""A real gateway with debug logs on, a hostile server, and everything that can be read of them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web

from faults.egress.canary import Canaries, leaks
from faults.egress.jobs import Body, Jobs
from tunegate.sdk.testing.gateway_process import GatewayProcess

LOOKS_S = 0.2


class Hostile:
    """`/ok/…` accepts, `/bad/…` fails, the rest forbids; each answer quotes the whole request."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.path.startswith(("/ok", "/bad")):
            # Told to callbacks; what stores and hub are sent to identify the job is meant for them.
            self.bodies.append(body)
        quoted = f"{request.rel_url} {dict(request.headers)} {body!r}"
        status = 200 if request.path.startswith("/ok") else 500 if "bad" in request.path else 403
        xml = f"<Error><Code>InvalidAccessKeyId</Code><Message>{quoted}</Message></Error>"
        headers = {"X-Error-Message": "x", "Content-Type": "application/xml"}
        return web.Response(status=status, text=xml, headers=headers)


@asynccontextmanager
async def hostile() -> AsyncGenerator[Hostile]:
    server, app = Hostile(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


class World:
    """What clients do, and a haystack of all that came of it."""

    def __init__(self, gateway: GatewayProcess, server: Hostile, folder: Path) -> None:
        self.gateway = gateway
        self.canaries = Canaries()
        self.jobs = Jobs(self.canaries, server.url, str(folder))
        self.server = server
        self.answers: list[bytes] = []
        self.found: list[str] = []
        self._folder = folder
        self._session = aiohttp.ClientSession(
            gateway.url, headers={"Authorization": f"Bearer {gateway.token}"}
        )

    async def call(self, method: str, path: str, body: Body | bytes | None = None) -> Any:
        data = json.dumps(body) if isinstance(body, dict) else body
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            text = await answer.read()
            self.answers.append(f"{method} {path} {answer.status} {answer.headers}".encode() + text)
            return json.loads(text) if text[:1] == b"{" else text

    async def until_final(self, job_id: str) -> Any:
        async with asyncio.timeout(120):
            while True:
                job = await self.call("GET", f"/train/{job_id}")
                if job.get("status") in {"succeeded", "failed", "cancelled"}:
                    return job
                await asyncio.sleep(LOOKS_S)

    async def watch(self) -> None:
        """Looks again and again while things happen."""
        while True:
            self.found += await asyncio.to_thread(lambda: leaks(self._processes() | self._files()))
            await asyncio.sleep(LOOKS_S)

    def search(self) -> list[str]:
        """Every place where a canary was or is."""
        haystack = {f"answer {n}": text for n, text in enumerate(self.answers)}
        haystack |= {f"pushed {n}": text for n, text in enumerate(self.server.bodies)}
        return sorted(set(self.found + leaks(haystack | self._files())))

    async def close(self) -> None:
        await self._session.close()

    def _files(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in self._folder.rglob("*"):
            try:
                if path.is_file():
                    found[str(path)] = path.read_bytes()
            except OSError:
                continue  # gone meanwhile
        return found

    def _processes(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        mine = str(self._folder).encode()
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (command := (place / "cmdline").read_bytes()):
                    found[f"{place}/cmdline"] = command
                    found[f"{place}/environ"] = (place / "environ").read_bytes()
            except OSError:
                continue
        return found


@asynccontextmanager
async def world(folder: Path) -> AsyncGenerator[World]:
    async with hostile() as server:
        s3: Any = SimpleNamespace(
            endpoint_url=server.url, access_key="operator", secret_key="operator-secret"
        )
        gateway = GatewayProcess(
            folder,
            s3,
            extra_config='log_level = "debug"\n',
            environment={"OMP_NUM_THREADS": "1", "TUNEGATE_STORAGE__HUB_ENDPOINT": server.url,
                         "TUNEGATE_WEBHOOKS__SCHEDULE_S": "[0.2, 0.2]"},
        )  # fmt: skip
        async with gateway:
            made = World(gateway, server, folder)
            try:
                yield made
            finally:
                await made.close()
