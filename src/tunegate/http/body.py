"""Reading a body: with a limit while it comes in and a deadline, whatever its headers promise."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, cast

from litestar import Request
from litestar.types import HTTPDisconnectEvent, HTTPRequestEvent

from tunegate.http.pressure import Pressure
from tunegate.sdk.errors import TunegateError


async def read_body(request: Request[Any, Any, Any], limit_bytes: int, deadline_s: float) -> bytes:
    """All of the body. Raises `body_too_large`, `body_too_slow`, `unavailable` under pressure, and `malformed_json`
    when it ends early.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > limit_bytes:
        raise TunegateError("body_too_large")
    receiving = _receive_all(request, limit_bytes)
    try:  # most bodies came along with their heads: they need no deadline
        waits_for = receiving.send(None)
    except StopIteration as done:
        return done.value
    try:
        async with asyncio.timeout(deadline_s):
            return await _resumed(receiving, waits_for)
    except TimeoutError:
        raise TunegateError("body_too_slow") from None


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, bytes], waits_for: Any) -> Generator[Any, Any, bytes]:
    """The rest of a coroutine that was begun and waits."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001  it is the coroutine's
            step = partial(coroutine.throw, error)
        else:
            step = partial(coroutine.send, None)
        try:
            waits_for = step()
        except StopIteration as done:
            return done.value


async def _receive_all(request: Request[Any, Any, Any], limit_bytes: int) -> bytes:
    body = bytearray()
    pressure = cast("Pressure", request.app.state.pressure)
    while True:
        message = await _next_piece(request, pressure)
        if message["type"] == "http.disconnect":
            raise TunegateError("malformed_json", "The body ended early.")
        pressure.hold(request.scope["state"], len(message["body"]))
        body += message["body"]
        if len(body) > limit_bytes:
            raise TunegateError("body_too_large")
        if not message["more_body"]:
            return bytes(body)


async def _next_piece(
    request: Request[Any, Any, Any], pressure: Pressure
) -> HTTPRequestEvent | HTTPDisconnectEvent:
    """Who waits for its client is not being worked on: slow senders must not take up everybody's places."""
    pressure.requests -= 1
    try:
        return cast("HTTPRequestEvent | HTTPDisconnectEvent", await request.receive())
    finally:
        pressure.requests += 1
