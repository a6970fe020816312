"""A webhook receiver that keeps what it got: for tests, the demo, and anybody's first integration."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
from aiohttp import web

from tunegate.contract.base import Wire
from tunegate.contract.job import WebhookBody

Answer = Callable[[int], int]
"""From the number of the delivery (from 0) to the HTTP status of the answer."""


class Received(Wire):
    """One delivery, with the status that was answered."""

    body: WebhookBody
    headers: dict[str, str]
    answered: int


class WebhookReceiver:
    """An HTTP server on loopback. It checks what a strict receiver checks: 400 for a wrong body, 401 and 403 for the header.

    Status streams (`POST` to any path below `/events`) are kept apart in `streamed`.
    """

    def __init__(
        self, *, authorization: str | None = None, answer: Answer = lambda _number: 200
    ) -> None:
        self.received: list[Received] = []
        self.streamed: list[dict[str, Any]] = []
        self._authorization = authorization
        self._answer = answer
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where jobs send their webhooks."""
        return f"http://127.0.0.1:{self._port}/train-status"

    @property
    def stream_url(self) -> str:
        """Where jobs push their events."""
        return f"http://127.0.0.1:{self._port}/events/all"

    def statuses(self, job_id: str) -> list[str]:
        """The statuses of a job in the order in which they were accepted."""
        return [
            r.body.status for r in self.received if r.body.job_id == job_id and r.answered < 300
        ]

    async def wait_for(self, job_id: str, status: str, timeout_s: float = 30.0) -> None:
        """Return once a webhook with this status was accepted. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: status in self.statuses(job_id))

    async def start(self) -> None:
        app = web.Application(client_max_size=5 * 2**20)
        app.router.add_post("/train-status", self._webhook)
        app.router.add_post("/events/{tail:.*}", self._stream)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _webhook(self, request: web.Request) -> web.Response:
        status = await self._judge(request)
        return web.json_response({"ok": status < 300}, status=status)

    async def _judge(self, request: web.Request) -> int:
        if self._authorization is not None:
            given = request.headers.get("Authorization")
            if given is None:
                return 401
            if given != self._authorization:
                return 403
        if request.content_type != "application/json":
            return 400
        try:
            body = msgspec.json.decode(await request.read(), type=WebhookBody)
        except msgspec.DecodeError:
            return 400
        status = self._answer(len(self.received))
        async with self._changed:
            self.received.append(
                Received(body=body, headers=dict(request.headers), answered=status)
            )
            self._changed.notify_all()
        return status

    async def _stream(self, request: web.Request) -> web.Response:
        for line in (await request.read()).splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                self.streamed.append(msgspec.json.decode(line))
        return web.json_response({"ok": True})


@contextlib.asynccontextmanager
async def webhook_receiver(
    *, authorization: str | None = None, answer: Answer = lambda _number: 200
) -> AsyncGenerator[WebhookReceiver]:
    """A running receiver for the length of a `with` block."""
    receiver = WebhookReceiver(authorization=authorization, answer=answer)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
