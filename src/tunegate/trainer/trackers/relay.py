"""`Relay`: a proxy on loopback for helpers of trackers that dial in another language, where `dialling` does not see it.

What such a helper reaches, it reaches through here, and every address is held to the operator's rules when it is dialled:
those that a name leads to by then, and those that a tracker's server names for uploads.
"""

import base64
import hmac
import secrets
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

from tunegate.contract.training import StoragePolicy
from tunegate.egress.policy import DEFAULT_PORTS
from tunegate.storage.policy import CONNECT_TIMEOUT_S
from tunegate.trainer.dialling import Dialling

_USER = "tracker"
_CHUNK_BYTES = 65_536
_CLOSES = b"Connection: close\r\n"
"""A client keeps its connections to a proxy for requests to other places, which would come out at this one."""
_OWN_HEADERS = frozenset({"connection", "keep-alive", "proxy-authorization", "proxy-connection"})
"""Between a client and its proxy; what stands behind it never sees them."""


class Relay:
    """Serves from threads until it is closed. Only who was given `url` is let through: it holds a password."""

    def __init__(self, policy: StoragePolicy) -> None:
        self._server = _Server(Dialling(policy))
        self._thread = threading.Thread(target=self._server.serve_forever, name="tracker-relay", daemon=True)  # fmt: skip
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{_USER}:{self._server.password}@{host!s}:{port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    """A connection that its client keeps open must not hold up the end of a job."""

    def __init__(self, dialling: Dialling) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dialling = dialling
        self.password = secrets.token_urlsafe(24)
        self.expected = b"Basic " + base64.b64encode(f"{_USER}:{self.password}".encode())

    def dial(self, host: str, port: int) -> socket.socket:
        """The first address of the name that may be dialled and answers. Raises OSError."""
        trouble: OSError = ConnectionError("the name leads nowhere")
        for family, kind, protocol, _, place in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            line = socket.socket(family, kind, protocol)
            line.settimeout(CONNECT_TIMEOUT_S)
            try:
                self.dialling.check((str(place[0]), port))
                line.connect(place)
            except OSError as error:
                line.close()
                trouble = error
            else:
                line.settimeout(None)
                return line
        raise trouble


class _Handler(BaseHTTPRequestHandler):
    """One request of a client: a tunnel, or a request of plain HTTP that goes on as it came, on a connection of its own."""

    protocol_version = "HTTP/1.1"
    rbufsize = 0
    """What follows a head is read from the socket itself."""

    def do_CONNECT(self) -> None:
        with self._dialled() as line:
            if line is not None:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _exchange(self.connection, line)

    def _forward(self) -> None:
        with self._dialled() as line:
            if line is not None:
                line.sendall(self._head())
                _exchange(self.connection, line, _CLOSES)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

    def _head(self) -> bytes:
        kept = [(k, v) for k, v in self.headers.items() if k.lower() not in _OWN_HEADERS]
        lines = [f"{name}: {value}" for name, value in [*kept, ("Connection", "close")]]
        return "\r\n".join([f"{self.command} {self.path} HTTP/1.1", *lines, "", ""]).encode(
            "latin-1"
        )

    @contextmanager
    def _dialled(self) -> Generator[socket.socket | None]:
        """The line to where the client wants to, or None when it was told why there is none."""
        self.close_connection = True
        server = cast("_Server", self.server)
        given = self.headers.get("proxy-authorization", "").encode()
        if not hmac.compare_digest(given, server.expected):
            self.send_error(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
            yield None
            return
        try:
            line = server.dial(*_place_of(self.command, self.path))
        except (OSError, ValueError) as error:
            refused = isinstance(error, PermissionError)
            self.send_error(HTTPStatus.FORBIDDEN if refused else HTTPStatus.BAD_GATEWAY)
            yield None
            return
        with line:
            yield line

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: addresses may hold credentials."""


def _place_of(method: str, target: str) -> tuple[str, int]:
    """Host and port of a request to a proxy. Raises ValueError."""
    parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    if not parts.hostname or port is None:
        raise ValueError
    return parts.hostname, port


def _exchange(client: socket.socket, origin: socket.socket, header: bytes = b"") -> None:
    """Both ways, until both have said all; `header` goes into the head of what the origin answers."""
    back = threading.Thread(target=_copy, args=(origin, client, header), daemon=True)
    back.start()
    _copy(client, origin)
    back.join()


def _copy(source: socket.socket, target: socket.socket, header: bytes = b"") -> None:
    with suppress(OSError):
        if header:
            status, end, rest = _until_line_end(source)
            target.sendall(status + end + header + rest)
        while chunk := source.recv(_CHUNK_BYTES):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _until_line_end(source: socket.socket) -> tuple[bytes, bytes, bytes]:
    """The first line, its end, and what came along with them."""
    read = b""
    while b"\r\n" not in read and (chunk := source.recv(_CHUNK_BYTES)):
        read += chunk
    return read.partition(b"\r\n")
