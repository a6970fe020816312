"""The outermost layer: request ids, names we answer to, pressure, streams that nobody reads, the access log.

It stands around the whole application, so that what no route answers (404, 405) is held to the same rules.
"""

import asyncio
import re
import time
from typing import Any
from urllib.parse import urlsplit

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from tunegate.control.principal import Principal
from tunegate.control.randomness import random_bytes
from tunegate.control.refusals import Refusal, Refusals
from tunegate.http.head import check_head
from tunegate.http.heads import answer_head
from tunegate.http.meters import Meters
from tunegate.http.pressure import Pressure
from tunegate.http.problems import encode_problem
from tunegate.http.settings import ServerSettings
from tunegate.http.streams import Streams
from tunegate.sdk.errors import TunegateError
from tunegate.telemetry import LineLog

log = LineLog(__name__, "request")

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Probes and scrapers call by address, under pressure too; these answer no question that a foreign web page could put."""
_PAGES = ("/schema", "/ui")
_REFUSED = frozenset({401, 403})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_AUTHORITIES_KEPT = 32
"""Spellings of our own names; clients use a few, an attacker may use many."""
WILDCARD = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  recognised, not bound
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_FIXED_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class _Stalled(Exception):
    """The reader of a stream takes nothing any more."""


class Door:
    """An ASGI layer. Wraps the application's handler and passes on what may come in."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerSettings,
        streams: Streams,
        meters: Meters,
        pressure: Pressure,
        refusals: Refusals | None = None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._streams = streams
        self._meters = meters
        self._pressure = pressure
        self._refusals = refusals
        public = urlsplit(settings.public_url or "")
        self._public = public.netloc.encode()
        names = {*settings.allowed_hosts, settings.host, public.hostname or ""} - WILDCARD
        self._hosts = _LOOPBACK | {name.lower() for name in names}
        self._known_authorities: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope["state"]["request_id"] = request_id
        status = 500
        entered = False

        async def answer(message: Message) -> None:
            nonlocal status, entered
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (*_fixed_headers(scope, message), (b"x-request-id", request_id.encode()))
                message["headers"] = [*message["headers"], *own]
                if entered and "stream" in scope["state"]:  # they have a limit of their own
                    entered = False
                    self._pressure.leave(scope["state"])
            elif message["type"] == "http.response.body" and "stream" in scope["state"]:
                await self._send_within_limit(message, send)
                return
            await send(message)

        try:
            check_head(scope, headers)
            self._check_names(scope, headers)
            if scope["path"] not in _PROBES:
                self._pressure.enter()
                entered = True
            if scope["method"] == "HEAD":
                await answer_head(self._app, scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except TunegateError as error:
            await _send_problem(error, request_id, answer)
        except _Stalled:
            pass  # the server cuts a connection whose answer was not finished
        finally:
            if entered:
                self._pressure.leave(scope["state"])
            streamed = "stream" in scope["state"]
            await self._streams.release(scope)
            self._meters.streams.set(self._streams.open_count)
            self._account(scope, status, None if streamed else time.perf_counter() - started)

    async def _send_within_limit(self, message: Message, send: Send) -> None:
        try:
            async with asyncio.timeout(self._settings.stream_stall_s):
                await send(message)
        except TimeoutError:
            raise _Stalled from None

    def _check_names(self, scope: HTTPScope, headers: dict[bytes, bytes]) -> None:
        """Against DNS rebinding and forged cross-site calls: by what name, and from which page, we were called."""
        if scope["method"] in _SAFE and scope["path"] in _PROBES:
            return
        if not self._is_ours(headers.get(b"host", b"")):
            raise TunegateError("host_not_allowed")
        if scope["method"] in _SAFE:
            return
        origin = headers.get(b"origin")
        page = b"" if origin is None else origin.partition(b"://")[2]
        if origin is not None and (not page or page not in (headers.get(b"host"), self._public)):
            raise TunegateError("host_not_allowed", "Calls from other web pages are not allowed.")
        if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            raise TunegateError("host_not_allowed", "Calls from other web pages are not allowed.")

    def _is_ours(self, authority: bytes) -> bool:
        if authority in self._known_authorities:
            return True
        try:
            name = urlsplit(b"//" + authority).hostname
        except ValueError:
            return False
        ours = bool(name) and ("*" in self._hosts or (name or b"").decode("latin-1") in self._hosts)
        if ours and len(self._known_authorities) < _AUTHORITIES_KEPT:
            self._known_authorities.add(authority)
        return ours

    def _account(self, scope: HTTPScope, status: int, seconds: float | None) -> None:
        state: dict[str, Any] = scope["state"]
        route = str(scope.get("path_template") or "none")
        self._meters.observe(route, scope["method"], status, seconds)
        if status in _REFUSED and self._refusals is not None:
            holder: Principal | None = state.get("principal")
            tenant, token = (holder.name, holder.token) if holder else ("", "")
            self._refusals.note(Refusal(status, scope["method"], route, tenant, token))
        if self._settings.access_log:
            principal = state.get("principal")
            log.write(
                route=route,
                method=scope["method"],
                status=status,
                duration_ms=None if seconds is None else round(seconds * 1000, 2),
                request_id=state["request_id"],
                tenant=principal.name if principal else None,
            )


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else random_bytes(8).hex()


def _fixed_headers(scope: HTTPScope, start: Message) -> tuple[tuple[bytes, bytes], ...]:
    """Pages say themselves what they may load."""
    if scope["path"].startswith(_PAGES):
        own = {name.lower() for name, _ in start.get("headers", ())}
        return tuple(pair for pair in _FIXED_HEADERS if pair[0] not in own)
    return _FIXED_HEADERS


async def _send_problem(error: TunegateError, request_id: str, send: Any) -> None:
    status, headers, body = encode_problem(error, request_id)
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})
