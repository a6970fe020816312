"""`MailboxClient`: in the place of the gateway, for a run that can't reach it. The gateway fetches what lies there."""

from types import TracebackType
from typing import Self

import msgspec

from tunegate.contract.attempt import ClaimGrant, ClaimRequest, EventReceipt, SequencedEvent
from tunegate.contract.training import AttemptTicket, TrainingSpec
from tunegate.sdk.mailbox import claim_uri, events_uri
from tunegate.sdk.storage import AlreadyExists, ObjectStore, StorageError, StoreUnavailable
from tunegate.storage.open import open_store
from tunegate.trainer.errors import output_storage_errors
from tunegate.trainer.gateway import GatewayRefused, GatewayUnreachable


class MailboxClient:
    """An async context manager with the two calls of a `GatewayClient`. A wish to stop comes as a signal alone."""

    pace_s = 2.0
    """Between two objects of events: each is a request that somebody pays for."""

    def __init__(
        self, ticket: AttemptTicket, grant: ClaimGrant | None, spec: TrainingSpec, run_uid: str
    ) -> None:
        self._ticket = ticket
        self._grant = grant
        self._spec = spec
        self._run_uid = run_uid
        self._store: ObjectStore | None = None
        self._unheard: list[SequencedEvent] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._store is not None:
            await self._store.__aexit__(kind, error, traceback)

    async def claim(self) -> ClaimGrant:
        """Be the first to write the claim. Raises GatewayRefused, GatewayUnreachable, TunegateError (the output can't be
        written).
        """
        if self._grant is None:
            raise GatewayRefused("the grant was taken by another run")
        uri, output = claim_uri(self._output, self._ticket.attempt), self._spec.output.output_uri
        with output_storage_errors(output):
            try:
                store = await self._opened(self._grant)
                there = await _write_once(
                    store, uri, msgspec.json.encode(ClaimRequest(run_uid=self._run_uid))
                )
            except StoreUnavailable as error:
                raise GatewayUnreachable(str(error)) from error
        if msgspec.json.decode(there, type=ClaimRequest).run_uid != self._run_uid:
            raise GatewayRefused("another run holds the claim")
        return self._grant

    async def send(self, events: list[SequencedEvent]) -> EventReceipt:
        """Leave events for the gateway. Raises GatewayUnreachable."""
        if self._store is None:
            raise GatewayUnreachable("not claimed")
        if self._unheard:  # it may be there, and read: the next one must follow on it
            events = self._unheard
        self._unheard = events
        uri = events_uri(self._output, self._ticket.attempt, events[0].sequence)
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in events)
        try:
            await _write_once(self._store, uri, lines)
        except StorageError as error:
            raise GatewayUnreachable(str(error)) from error
        self._unheard = []
        return EventReceipt(accepted_through=events[-1].sequence)

    @property
    def _output(self) -> str:
        return self._spec.output.output_uri

    async def _opened(self, grant: ClaimGrant) -> ObjectStore:
        if self._store is None:
            store = open_store(self._output, self._spec.storage, grant.secrets.artifacts)
            self._store = await store.__aenter__()
        return self._store


async def _write_once(store: ObjectStore, uri: str, content: bytes) -> bytes:
    """What is there now: `content`, or what was there before."""
    try:
        await store.write(uri, content, if_absent=True)
    except AlreadyExists:
        return await store.read(uri)
    return content
