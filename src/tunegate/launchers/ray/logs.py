"""A job's log. Ray gives it whole: from the beginning, each time."""

from collections.abc import AsyncIterator, Awaitable, Callable

from tunegate.launchers.ray.client import RayClient
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable

AGAIN_S = 1.0
"""Until a stream that broke off is taken up again."""


async def read_log(client: RayClient, name: str, offset: int) -> AsyncIterator[bytes]:
    """What was said until now."""
    if rest := (await client.log(name))[offset:]:
        yield rest


async def follow_log(
    client: RayClient, name: str, offset: int, clock: Clock, is_over: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """What was and will be said, until the run is over; a stream that breaks off is taken up where it did."""
    while True:
        over = await is_over()  # asked first: what was said before the end is read
        try:
            seen = 0
            async for chunk in client.tail(name):
                seen += len(chunk)
                if seen > offset:
                    yield chunk[max(0, offset - seen + len(chunk)) :]
                    offset = seen
        except EngineUnavailable:
            if over:
                raise
        if over:
            async for rest in read_log(client, name, offset):
                yield rest
            return
        if not await is_over():
            await clock.sleep(AGAIN_S)
