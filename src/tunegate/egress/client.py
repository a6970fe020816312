"""`EgressClient`: pushes, guarded downloads and WebSockets; no redirects for pushes, no cookies, no ambient proxies."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver

from tunegate.contract.base import Wire
from tunegate.egress.guard import GuardedConnector
from tunegate.egress.policy import (
    EgressFailed,
    EgressPolicy,
    EgressRefused,
    EgressUnreachable,
    check_url,
    parse_url,
)

_KEPT_HEADERS = ("retry-after",)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_HOPS = 5
_ORIGIN_HEADERS = frozenset({"authorization"})


class EgressResponse(Wire):
    """What a receiver said: its status and the few headers that matter. The body is read and forgotten."""

    status: int
    headers: dict[str, str] = {}


class WebSocketPush:
    """An open WebSocket that only sends; what comes in is read and dropped."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, timeout_s: float) -> None:
        self._socket = socket
        self._timeout_s = timeout_s

    async def send(self, body: bytes) -> None:
        """Send one text message of UTF-8. Raises EgressFailed when the other side is gone or does not take it in time."""
        if self._socket.closed:
            raise EgressFailed("The WebSocket was closed by the other side.")
        with _as_egress_error():
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send_str(body.decode())


class EgressClient:
    """An async context manager that holds one connection pool. All methods raise EgressRefused and EgressFailed."""

    def __init__(self, policy: EgressPolicy, *, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        policy = self._policy
        self._session = aiohttp.ClientSession(
            connector=GuardedConnector(policy, self._resolver),
            timeout=aiohttp.ClientTimeout(
                total=policy.total_timeout_s, sock_connect=policy.connect_timeout_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=policy.proxy_url,
            trust_env=False,
            auto_decompress=False,
            trace_configs=[_no_redirects()],
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> EgressResponse:
        """Send `body` as it is. A 3xx is an answer like any other and is not followed."""
        self._check(url)
        with _as_egress_error():
            async with self._open.post(
                parse_url(url), data=body, headers=headers, allow_redirects=False
            ) as response:
                await self._drain(response)
                kept = {name: response.headers.get(name) for name in _KEPT_HEADERS}
                return EgressResponse(
                    status=response.status,
                    headers={name: value for name, value in kept.items() if value is not None},
                )

    @asynccontextmanager
    async def get(
        self, url: str, headers: Mapping[str, str]
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """An open download. Redirects are followed a few hops, each one checked; credentials stay at the first origin.

        The time limit is on silence, not on the whole.
        """
        self._check(url)
        here, headers = parse_url(url), dict(headers)
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self._policy.connect_timeout_s,
            sock_read=self._policy.total_timeout_s,
        )
        with _as_egress_error():
            for _ in range(_MAX_HOPS + 1):
                self._check(str(here))
                async with self._open.get(
                    here, headers=headers, timeout=timeout, allow_redirects=False
                ) as response:
                    target = response.headers.get("location")
                    if response.status not in _REDIRECTS or target is None:
                        yield response
                        return
                there = here.join(parse_url(target))
                if there.origin() != here.origin():
                    headers = {k: v for k, v in headers.items() if k.lower() not in _ORIGIN_HEADERS}
                here = there
        raise EgressFailed("The server redirects too often.")

    async def fetch(self, url: str, *, limit_bytes: int = 2**20) -> bytes:
        """A small document, whole. Raises EgressFailed for anything but 200 and for longer ones."""
        async with self.get(url, {"accept": "application/json"}) as response:
            if response.status != HTTPStatus.OK:
                raise EgressFailed(f"The server answered HTTP {response.status}.")
            found = bytearray()
            async for chunk in response.content.iter_any():
                found += chunk
                if len(found) > limit_bytes:
                    raise EgressFailed("The document is too long.")
            return bytes(found)

    @asynccontextmanager
    async def websocket(
        self, url: str, headers: Mapping[str, str]
    ) -> AsyncGenerator[WebSocketPush, None]:
        """A connection for pushes, open for as long as the block runs."""
        self._check(url)
        with _as_egress_error():
            async with asyncio.timeout(self._policy.total_timeout_s):
                socket = await self._open.ws_connect(
                    parse_url(url), headers=headers, max_msg_size=self._policy.response_cap_bytes
                )
        # Somebody must read, or pings go unanswered and a close goes unseen.
        reader = asyncio.create_task(_discard(socket))
        try:
            yield WebSocketPush(socket, self._policy.total_timeout_s)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await socket.close()

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("EgressClient is used outside its `async with` block")
        return self._session

    def _check(self, url: str) -> None:
        reason = check_url(url, self._policy)
        if reason is not None:
            raise EgressRefused(reason)

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        # Reading a short answer keeps the connection usable; a long one is cut off with its connection.
        left = self._policy.response_cap_bytes
        async for chunk in response.content.iter_any():
            left -= len(chunk)
            if left < 0:
                response.close()
                return


async def _discard(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


def _no_redirects() -> aiohttp.TraceConfig:
    """Stops the redirects that aiohttp would follow by itself (WebSocket handshakes have no switch for it)."""

    async def refuse(*_: object) -> None:
        raise EgressRefused("The server answered with a redirect, which is not followed.")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace


@contextmanager
def _as_egress_error() -> Generator[None, None, None]:
    # The client's own messages can hold the whole URL, so only the kind of trouble is told, without the chain.
    try:
        yield
    except aiohttp.ConnectionTimeoutError:
        raise EgressUnreachable("The other side did not answer in time.") from None
    except TimeoutError:
        raise EgressFailed("The other side did not answer in time.") from None
    except aiohttp.ClientConnectorDNSError:
        raise EgressUnreachable("The host name can't be resolved.") from None
    except aiohttp.ClientSSLError:
        raise EgressFailed("The TLS handshake or the certificate failed.") from None
    except aiohttp.WSServerHandshakeError as error:
        raise EgressFailed(
            f"The WebSocket handshake was answered with HTTP {error.status}."
        ) from None
    except aiohttp.ClientConnectorError as error:
        reason = error.os_error.strerror or "unknown error"
        raise EgressUnreachable(f"The connection failed: {reason}.") from None
    except (aiohttp.InvalidURL, ValueError):
        raise EgressRefused("The address or a header is not valid.") from None
    except (aiohttp.ClientError, OSError):
        raise EgressFailed("The connection broke off.") from None
