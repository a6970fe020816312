"""An application behind a real socket, in this process."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import uvicorn
from litestar import Litestar

from tunegate.http.protocol import HttpProtocol, Limits


async def until(true: Callable[[], object], timeout_s: float = 10) -> None:
    """Wait for what gives no event of its own."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def listen() -> socket.socket:
    """A socket on a free port of loopback."""
    return socket.create_server(("127.0.0.1", 0))


@contextlib.asynccontextmanager
async def serving(
    app: Litestar, listener: socket.socket, limits: Limits | None = None
) -> AsyncIterator[str]:
    """The address of the running application."""
    config = uvicorn.Config(
        app,
        http=HttpProtocol.limited(limits or Limits()),
        log_config=None,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started or task.done())
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
