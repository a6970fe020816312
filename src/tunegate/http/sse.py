"""Events as a server-sent stream: the id is the event's number, so `Last-Event-ID` goes on where a client left off."""

from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from tunegate.contract.job import JobEvent
from tunegate.http.streams import Streams

MEDIA_TYPE = "text/event-stream"
_PREAMBLE = b"retry: 2000\n\n"
_PING = b": ping\n\n"


_latest: dict[int, tuple[JobEvent, bytes]] = {}
_KEPT = 256


def frame(event: JobEvent) -> bytes:
    """One event. All who follow a job are given the same object, so its bytes are made once."""
    known = _latest.get(id(event))
    if known is not None:  # the entry holds the event, so that its id is not another's
        return known[1]
    if len(_latest) >= _KEPT:
        del _latest[next(iter(_latest))]
    made = _encode(event)
    _latest[id(event)] = event, made
    return made


def _encode(event: JobEvent) -> bytes:
    """JSON of msgspec holds no line break, so one data line is enough."""
    head = f"id: {event.sequence}\nevent: {event.type}\ndata: ".encode()
    return head + msgspec.json.encode(event) + b"\n\n"


async def event_stream(
    streams: Streams, events: AsyncIterator[JobEvent], ping_s: float
) -> AsyncGenerator[bytes]:
    """Frames until the events end; a comment when it is quiet."""
    yield _PREAMBLE
    paced = streams.paced(events, ping_s)
    try:
        async for event in paced:
            yield _PING if event is None else frame(event)
    finally:
        await paced.aclose()
