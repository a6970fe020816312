"""WebSockets of status streams, and who gets the client's Authorization header."""

import msgspec
import pytest

from support.control_world import Failed, FakeReceiver, FakeReply
from tunegate.contract.secret import Secret
from tunegate.control.records import Delivery
from tunegate.control.sealed import SealedCallbacks
from tunegate.control.streams import Streams, endpoint_of
from tunegate.sdk.testing.clock import FakeClock

ROW = Delivery(
    delivery_id="d", uid="u", tenant="t", job_id="j", channel="stream", sequence=1, body=b"{}",
    final=False, tries=0, next_at_ms=0, created_ms=0,
)  # fmt: skip
LAST = msgspec.structs.replace(ROW, final=True)


def callbacks(stream: str, webhook: str | None = None) -> SealedCallbacks:
    return SealedCallbacks(
        webhook_url=Secret(webhook) if webhook else None,
        auth_header=Secret("Bearer canary") if webhook else None,
        status_stream_url=Secret(stream),
    )


async def test_one_socket_serves_the_events_of_a_job_until_the_last() -> None:
    receiver = FakeReceiver()
    streams = Streams(receiver, FakeClock())
    to = callbacks("wss://events.example/all")
    for row in (ROW, ROW, LAST):
        assert await streams.send(row, to) is None
    assert (receiver.opened, receiver.closed, len(receiver.messages)) == (1, 1, 3)


async def test_a_broken_socket_is_opened_anew() -> None:
    receiver = FakeReceiver()
    streams = Streams(receiver, FakeClock())
    to = callbacks("ws://events.example/all")
    receiver.answer = lambda _body: Failed("closed")
    with pytest.raises(Failed):
        await streams.send(ROW, to)
    receiver.answer = lambda _body: FakeReply(200)
    await streams.send(ROW, to)
    assert (receiver.opened, receiver.closed) == (2, 1)


async def test_idle_sockets_and_at_the_end_all_sockets_are_closed() -> None:
    receiver, clock = FakeReceiver(), FakeClock()
    streams = Streams(receiver, clock)
    to = callbacks("wss://events.example/all")
    await streams.send(ROW, to)
    clock.step(61)
    await streams.send(msgspec.structs.replace(ROW, uid="other"), to)
    assert receiver.closed == 1
    await streams.close()
    assert receiver.closed == 2


@pytest.mark.parametrize(
    ("stream", "sent"),
    [
        ("https://studio.example/events", True),
        ("https://studio.example:443/events", True),
        ("https://studio.example:8443/events", False),
        ("https://evil.example/events", False),
        ("http://studio.example/events", False),
    ],
)
async def test_the_webhooks_header_goes_to_the_webhooks_own_host_only(
    stream: str, sent: bool
) -> None:
    receiver = FakeReceiver()
    await Streams(receiver, FakeClock()).send(ROW, callbacks(stream, "https://studio.example/hook"))
    ((_, _, headers),) = receiver.posts
    assert ("authorization" in headers) is sent


def test_an_endpoint_is_host_port_and_encryption() -> None:
    assert endpoint_of("wss://Host/x?y") == endpoint_of("https://host:443/")
    assert endpoint_of("http://host/") != endpoint_of("https://host:80/")
