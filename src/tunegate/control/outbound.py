"""What the control plane asks of the client that dials out; the composition root brings the real one."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


class Reply(Protocol):
    """A receiver's answer: never its body, which may repeat secrets. Header names are in lower case."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Socket(Protocol):
    """An open WebSocket that only sends."""

    async def send(self, body: bytes) -> None: ...


class Client(Protocol):
    """Dials out past the operator's address rules; follows no redirects."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply: ...
    def websocket(
        self, url: str, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Socket]: ...


class NotReached(Exception):
    """For clients that can't tell whether a receiver was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """The client with the errors that it raises; their messages may be shown to people."""

    client: Client
    refused: type[Exception]
    """The operator's rules forbid the address: another try is pointless."""
    failed: type[Exception]
    """No answer, or a broken one."""
    unreachable: type[Exception] = NotReached
    """A kind of `failed`: nothing was sent, as the name is unknown or nobody listens. Holds for all that goes there."""
