"""One connection: uvicorn's fast HTTP parser, with the deadlines and refusals that it lacks.

Uvicorn waits for ever for the rest of a head, for a body that nobody reads any more, and for a client that does not
take its answer. Each of them is a way to hold connections for nothing. The parser itself (llhttp) refuses bare line
feeds, folded headers, doubled lengths and lengths beside chunks; tests hold it to that.
"""

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tunegate.http.problems import encode_problem
from tunegate.http.settings import ServerSettings
from tunegate.sdk.errors import TunegateError

HEAD_LIMIT_BYTES = 65_536
"""Request line and headers together; what is read of the body along with them does not count."""
HEADERS_MOST = 100
PIPELINE_MOST = 32
"""Requests sent ahead of their answers."""
DRAIN_S = 5.0
"""How long the rest of a body may come after its answer was sent: clients read it only when they have sent all."""
_OFFER = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_PASSED_OVER = b"\r\nx-offer:"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may cost."""

    connections: int = 4096
    head_s: float = 10.0
    answer_stall_s: float = 60.0

    @classmethod
    def of(cls, settings: ServerSettings, most: int | None = None) -> "Limits":
        """The operator's; `most` connections is what the machine allows."""
        wanted = settings.max_connections
        return cls(
            connections=wanted if most is None else min(wanted, most),
            head_s=settings.head_deadline_s,
            answer_stall_s=settings.stream_stall_s,
        )


class HttpProtocol(HttpToolsProtocol):
    """One connection with the default limits; `limited` makes a class with others."""

    limits = Limits()
    _in_head = True
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    @classmethod
    def limited(cls, limits: Limits) -> type["HttpProtocol"]:
        return type("LimitedHttpProtocol", (cls,), {"limits": limits})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections and not self._close_an_idle_one():
            self.refuse(TunegateError("unavailable", "Too many connections.", retry_after_s=1.0))
            return
        self._arm(self.limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._in_head:
            # Clients that offer HTTP/2 send the body of their request all the same; the parser would drop it.
            head, end, body = data.partition(b"\r\n\r\n")
            data = _OFFER.sub(_PASSED_OVER, head) + end + body
            self._head_bytes += len(head) + len(end)
            if self._head_bytes > HEAD_LIMIT_BYTES:
                self.refuse(TunegateError("head_too_large"))
                return
        try:
            self.parser.feed_data(data)  # pyright: ignore[reportOptionalMemberAccess]
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(cause if isinstance(cause, TunegateError) else TunegateError("bad_http"))
            return
        if self._in_head and self._deadline is None and self._head_bytes:
            self._arm(self.limits.head_s)

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        if self._deadline is not None:
            self._disarm()
        if len(self.headers) > HEADERS_MOST:
            raise TunegateError("head_too_large")
        if self.url[:1] != b"/" and not self._is_called_by_its_host():
            raise TunegateError("bad_http")
        if len(self.pipeline) >= PIPELINE_MOST:
            raise TunegateError("bad_http")
        super().on_headers_complete()
        self.headers = []  # trailers go here, where nobody takes them for headers

    def on_message_complete(self) -> None:
        self._in_head = True
        if self._deadline is not None:
            self._disarm()
        super().on_message_complete()
        if self.cycle.response_complete:
            self._arm(self.limits.head_s)  # data that came late has ended the idle time

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head and not self.pipeline:
            self._arm(DRAIN_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.limits.answer_stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def refuse(self, error: TunegateError) -> None:
        """Answer, where no other answer is under way, and close."""
        self._disarm()
        if self.transport.is_closing():
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        if (
            cycle is None
            or cycle.response_complete
            or not (cycle.response_started or self.pipeline)
        ):
            self.transport.write(_encode(error))
        if cycle is not None:
            cycle.disconnected = True  # the application, if it still works on it, need not answer
            cycle.message_event.set()
        self.transport.close()

    def _is_called_by_its_host(self) -> bool:
        """An address in full (for proxies) must name the host that the header names; `*` asks of the whole server."""
        if self.url == b"*":
            return True
        authority = self.url.partition(b"://")[2].partition(b"/")[0]
        return any(name == b"host" and value == authority for name, value in self.headers)

    def _close_an_idle_one(self) -> bool:
        """Make room: of the connections that wait for another request one goes."""
        connections: set[Any] = self.connections
        for other in connections:
            if other.timeout_keep_alive_task is not None and other.cycle.response_complete:
                other.transport.close()
                connections.discard(other)
                return True
        return False

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._time_is_up)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_is_up(self) -> None:
        self._deadline = None
        if self._in_head and self._head_bytes:
            self.refuse(TunegateError("head_too_slow"))
        elif not self.transport.is_closing():
            self.transport.close()


def _encode(error: TunegateError) -> bytes:
    status, headers, body = encode_problem(error, "")
    fields = {
        **headers,
        "connection": "close",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body
