"""A gateway of a few lines: one attempt, one claim, its events."""

import asyncio
from typing import Any, Self

import msgspec
from aiohttp import web

from tunegate.contract.attempt import ClaimGrant, ClaimRequest, EventBatch, EventReceipt
from tunegate.contract.secret import reveal_hook
from tunegate.contract.training import AttemptTicket, TrainerSecrets

TOKEN = "claim-token-of-the-test"


class FakeGateway:
    """Answers on loopback. `refusals` are statuses given before the first good answer; `stop` goes with receipts."""

    def __init__(self) -> None:
        self.claimed_by: str | None = None
        self.refusals: list[int] = []
        self.batches: list[EventBatch] = []
        self.spoken = asyncio.Event()
        self.stop: Any = None
        self.grant = ClaimGrant(
            fence=7, attempt=2, resume=True, remaining_s=3600.0, secrets=TrainerSecrets()
        )
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/internal/attempts/{attempt}/claim", self._claim)
        app.router.add_post("/internal/attempts/{attempt}/events", self._events)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def ticket(self, token_file: str = "token") -> AttemptTicket:
        return AttemptTicket(
            job_id="job", attempt=2, attempt_id="attempt-2", run_name="run-2",
            gateway_url=self.url, token_file=token_file,
        )  # fmt: skip

    @property
    def events(self) -> list[Any]:
        """Each event once, in order of its number."""
        by_number = {one.sequence: one.event for batch in self.batches for one in batch.events}
        assert sorted(by_number) == list(range(1, len(by_number) + 1))
        return [by_number[number] for number in sorted(by_number)]

    async def _claim(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        claim = msgspec.json.decode(await request.read(), type=ClaimRequest)
        if self.claimed_by not in (None, claim.run_uid):
            return web.Response(status=409)
        self.claimed_by = claim.run_uid
        return web.Response(body=msgspec.json.encode(self.grant, enc_hook=reveal_hook))

    async def _events(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        batch = msgspec.json.decode(await request.read(), type=EventBatch)
        self.batches.append(batch)
        self.spoken.set()
        receipt = EventReceipt(accepted_through=batch.events[-1].sequence, stop=self.stop)
        return web.Response(body=msgspec.json.encode(receipt))

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        return web.Response(status=self.refusals.pop(0)) if self.refusals else None
