"""How an event is pushed to `status_stream_url`: one POST, or one WebSocket message, for each."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tunegate.control.outbound import Client, Reply, Socket
from tunegate.control.receivers import endpoint_of
from tunegate.control.records import Delivery
from tunegate.control.sealed import SealedCallbacks
from tunegate.sdk.clock import Clock

IDLE_S = 60.0
"""A WebSocket on which nothing was sent for so long is closed."""


@dataclass(slots=True)
class _Open:
    socket: Socket
    used_s: float
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


class Streams:
    """Sends deliveries of the channel `stream`. WebSockets stay open between the events of a job."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._sockets: dict[str, _Open] = {}

    async def send(self, delivery: Delivery, callbacks: SealedCallbacks) -> Reply | None:
        """The answer; None for a WebSocket (the message left) or no address. Raises the client's errors."""
        if callbacks.status_stream_url is None:
            return None
        url = callbacks.status_stream_url.reveal()
        headers = _authorization(url, callbacks)
        if urlsplit(url).scheme.lower() in ("ws", "wss"):
            await self._push(delivery, url, headers)
            return None
        headers |= {"content-type": "application/json", "user-agent": "tunegate"}
        return await self._client.post(url, delivery.body, headers)

    async def close(self) -> None:
        """Close all WebSockets."""
        for uid in list(self._sockets):
            await self._close(uid)

    async def _push(self, delivery: Delivery, url: str, headers: dict[str, str]) -> None:
        await self._close_idle()
        uid = delivery.uid
        held = self._sockets.get(uid) or await self._connect(uid, url, headers)
        try:
            await held.socket.send(delivery.body)
        except Exception:
            await self._close(uid)
            raise
        held.used_s = self._clock.monotonic_s()
        if delivery.final:
            await self._close(uid)

    async def _connect(self, uid: str, url: str, headers: dict[str, str]) -> _Open:
        stack = AsyncExitStack()
        socket = await stack.enter_async_context(self._client.websocket(url, headers))
        held = _Open(socket=socket, used_s=self._clock.monotonic_s(), stack=stack)
        self._sockets[uid] = held
        return held

    async def _close_idle(self) -> None:
        now_s = self._clock.monotonic_s()
        for uid in [u for u, held in self._sockets.items() if now_s - held.used_s > IDLE_S]:
            await self._close(uid)

    async def _close(self, uid: str) -> None:
        held = self._sockets.pop(uid, None)
        if held is not None:
            await held.stack.aclose()


def _authorization(url: str, callbacks: SealedCallbacks) -> dict[str, str]:
    """The webhook's Authorization header, where the stream goes to the webhook's own host and port."""
    webhook = callbacks.webhook_url
    if callbacks.auth_header is None or webhook is None:
        return {}
    if endpoint_of(url) != endpoint_of(webhook.reveal()):
        return {}
    return {"authorization": callbacks.auth_header.reveal()}
