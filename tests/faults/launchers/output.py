"""The users' bucket: manifests, and the mailboxes of runs that can't reach the gateway."""

from collections.abc import Sequence
from typing import Any, Self

import msgspec

from tunegate.contract.attempt import ClaimRequest, SequencedEvent
from tunegate.contract.training import AttemptTicket
from tunegate.control.records import JobRecord
from tunegate.sdk.mailbox import claim_uri, events_uri
from tunegate.sdk.storage import ObjectNotFound


class Output:
    """Objects by address. `OpenJobStore` gives it as the store of every job."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fences: dict[str, int] = {}

    async def open(self, _job: JobRecord) -> Any:
        return _Store(self.objects)

    def claim(self, ticket: AttemptTicket, request: ClaimRequest) -> bool:
        """The first one wins."""
        uri = claim_uri(uri_of(ticket.job_id), ticket.attempt)
        return self._once(uri, msgspec.json.encode(request))

    def leave(self, ticket: AttemptTicket, events: Sequence[SequencedEvent]) -> None:
        uri = events_uri(uri_of(ticket.job_id), ticket.attempt, events[0].sequence)
        self._once(uri, b"".join(msgspec.json.encode(one) + b"\n" for one in events))

    def publish(self, ticket: AttemptTicket, fence: int) -> bool:
        """A newer claim's manifest may replace an older one's."""
        if self.fences.get(ticket.job_id, 0) > fence:
            return False
        self.fences[ticket.job_id] = fence
        return True

    def _once(self, uri: str, content: bytes) -> bool:
        return self.objects.setdefault(uri, content) is content


def uri_of(job_id: str) -> str:
    return f"s3://results/{job_id}/"


class _Store:
    """The little of an ObjectStore that the gateway's reader of mailboxes asks for."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, uri: str, **_: object) -> bytes:
        try:
            return self._objects[uri]
        except KeyError:
            raise ObjectNotFound(uri) from None

    async def delete(self, uri: str) -> None:
        self._objects.pop(uri, None)
