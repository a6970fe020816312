"""Long answers: how many there may be, signs of life, and their end when the reader or the gateway goes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, TypeVar

from litestar.types import Scope

from tunegate.sdk.errors import TunegateError

ItemT = TypeVar("ItemT")
_KEY = "stream"


class Streams:
    """The streams that are open. A slot is taken when the answer begins and given back when its request ends."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._closing = asyncio.Event()
        self.open_count = 0

    def open(self, scope: Scope, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """Take a slot for this request's answer. Raises `too_many_streams`."""
        if self.open_count >= self._limit:
            raise TunegateError("too_many_streams", retry_after_s=5.0)
        self.open_count += 1
        scope["state"][_KEY] = chunks
        return chunks

    async def release(self, scope: Scope) -> None:
        """Give the request's slot back, if it has one, and let go of what its answer was reading from."""
        chunks: AsyncGenerator[bytes] | None = scope["state"].pop(_KEY, None)
        if chunks is not None:
            self.open_count -= 1
            await chunks.aclose()

    def close(self) -> None:
        """End all streams after what they are sending; clients come back to another replica or later."""
        self._closing.set()

    async def paced(
        self, items: AsyncIterator[ItemT], idle_s: float
    ) -> AsyncGenerator[ItemT | None]:
        """The items as they come, None whenever `idle_s` seconds went by without one; ends with them or with `close`."""
        closing = asyncio.ensure_future(self._closing.wait())
        coming = asyncio.ensure_future(_next(items))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {coming, closing}, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED
                )
                if coming in done:
                    item = coming.result()
                    if item is None:
                        return
                    yield item
                    coming = asyncio.ensure_future(_next(items))
                elif closing in done:
                    return
                else:
                    yield None
        finally:
            await _drop(coming)
            await _drop(closing)
            if isinstance(items, AsyncGenerator):
                await items.aclose()


async def _next(items: AsyncIterator[ItemT]) -> ItemT | None:
    return await anext(items, None)


async def _drop(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait({task})
