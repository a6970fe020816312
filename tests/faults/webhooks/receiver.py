"""A process that is a thousand receivers: `python -m faults.webhooks.receiver PORT`.

What each does stands in the name it is called by (`hang-7.example`), until POST /behave makes all of them well. GET /log
gives what arrived and what was answered.
"""

import asyncio
import hashlib
import random
import sys
import time

from aiohttp import web

SLOW_S = 1.0
FLAPPING = 0.5
"""How often a flapping receiver is out of order."""


class Receivers:
    """All of them, with one log: [ms, name, webhook-id, hash of the body, status or 0]."""

    def __init__(self) -> None:
        self.log: list[list[str | int]] = []
        self.well = asyncio.Event()
        self._chance = random.Random(5)

    async def hook(self, request: web.Request) -> web.Response:
        name = request.host.partition(":")[0]
        body = await request.read()
        line: list[str | int] = [
            int(time.time() * 1000),
            name,
            request.headers["webhook-id"],
            hashlib.sha256(body).hexdigest(),
            0,
        ]
        self.log.append(line)
        status = await self._status(name.partition("-")[0])
        if status == 0:
            assert request.transport is not None
            request.transport.close()
        line[4] = status
        return web.Response(status=status or 500)

    async def _status(self, kind: str) -> int:
        if self.well.is_set():
            return 200
        match kind:
            case "hang":
                await asyncio.sleep(3600)
            case "slow":
                await asyncio.sleep(SLOW_S)
            case "flap" if self._chance.random() < FLAPPING:
                return 503
            case "down":
                return 0
        return 200

    async def behave(self, _: web.Request) -> web.Response:
        self.well.set()
        return web.Response()

    async def read_log(self, _: web.Request) -> web.Response:
        return web.json_response(self.log)


async def serve(port: int) -> None:
    receivers = Receivers()
    app = web.Application()
    app.router.add_post("/hook", receivers.hook)
    app.router.add_post("/behave", receivers.behave)
    app.router.add_get("/log", receivers.read_log)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
