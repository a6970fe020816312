"""`GatewayClient`: the two calls that a trainer makes to its gateway."""

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from tunegate.contract.attempt import (
    ClaimGrant,
    ClaimRequest,
    EventBatch,
    EventReceipt,
    SequencedEvent,
)
from tunegate.contract.secret import Secret, decode_hook
from tunegate.contract.training import AttemptTicket

if TYPE_CHECKING:
    from aiohttp import ClientSession

TIMEOUT_S = 15.0
GONE = frozenset({404, 409, 410})
"""Answers that mean: this run is not, or no longer, the attempt's."""


class GatewayUnreachable(Exception):
    """No answer, or one that may change: try again."""


class GatewayRefused(Exception):
    """The gateway does not know this run (any more)."""


class Gateway(Protocol):
    """What a trainer has to say to its gateway, whichever way it goes."""

    pace_s: float
    """Between two deliveries of events."""

    async def claim(self) -> ClaimGrant: ...

    async def send(self, events: list[SequencedEvent]) -> EventReceipt: ...


class GatewayClient:
    """An async context manager. `run_uid` is random per process, so that only one run can hold an attempt."""

    pace_s = 0.25

    def __init__(self, ticket: AttemptTicket, token: Secret, run_uid: str) -> None:
        base = ticket.gateway_url.rstrip("/")
        self._address = f"{base}/internal/attempts/{ticket.attempt_id}"
        self._token = token
        self._run_uid = run_uid
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), raise_for_status=False
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def claim(self) -> ClaimGrant:
        """Claim the attempt. Raises GatewayRefused, GatewayUnreachable."""
        answer = await self._post("claim", ClaimRequest(run_uid=self._run_uid))
        return msgspec.json.decode(answer, type=ClaimGrant, dec_hook=decode_hook)

    async def send(self, events: list[SequencedEvent]) -> EventReceipt:
        """Deliver events. Raises GatewayRefused, GatewayUnreachable."""
        answer = await self._post("events", EventBatch(run_uid=self._run_uid, events=events))
        return msgspec.json.decode(answer, type=EventReceipt)

    async def _post(self, what: str, body: msgspec.Struct) -> bytes:
        from aiohttp import ClientError

        if self._session is None:
            raise GatewayUnreachable("not connected")
        headers = {
            "authorization": f"Bearer {self._token.reveal()}",
            "content-type": "application/json",
        }
        try:
            async with self._session.post(
                f"{self._address}/{what}", data=msgspec.json.encode(body), headers=headers
            ) as response:
                answer = await response.read()
        except (ClientError, TimeoutError, OSError) as error:
            raise GatewayUnreachable(f"no answer ({type(error).__name__})") from error
        if response.status in GONE:
            raise GatewayRefused(f"HTTP {response.status}")
        if response.status >= 300:
            raise GatewayUnreachable(f"HTTP {response.status}")
        return answer
