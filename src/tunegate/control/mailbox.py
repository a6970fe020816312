"""The word of runs that can't reach the gateway: fetched from beside the job's output, where they leave it.

It goes into the store as if it had been pushed: the same fence, the same checks, the same fold. A wish to stop goes by
the engine alone.
"""

import logging
from dataclasses import dataclass

import msgspec

from tunegate.contract.attempt import ClaimRequest, SequencedEvent
from tunegate.control.attempts import out_of_range
from tunegate.control.engines import Engines, bounded
from tunegate.control.manifest import OpenJobStore
from tunegate.control.records import AttemptRecord, JobRecord
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.launcher import EngineUnavailable
from tunegate.sdk.mailbox import claim_uri, events_uri
from tunegate.sdk.storage import ObjectNotFound, ObjectStore, StorageError

OBJECTS_MAX = 20
"""Read in one look: a run that was not looked at for long must not keep the others waiting."""
BYTES_MAX = 4 * 2**20
"""Of one object, which anybody may have written who may write to the output."""
_claim = msgspec.json.Decoder(ClaimRequest)
_event = msgspec.json.Decoder(SequencedEvent)
logger = logging.getLogger(__name__)


class _Unsound(Exception):
    """An object that no trainer writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """Reads for one gateway."""

    store: JobStore
    engines: Engines
    open_store: OpenJobStore

    async def fetch(self, job: JobRecord, attempt: AttemptRecord) -> AttemptRecord:
        """Take in what is new; the attempt as it is then. Trouble of the object store says nothing about the run."""
        try:
            async with await self.open_store(job) as place:
                if attempt.claimed_by is None:
                    attempt = await self._claim(place, job, attempt)
                if attempt.claimed_by is not None:
                    attempt = await self._events(place, job, attempt, attempt.claimed_by)
        except ObjectNotFound:
            pass
        except StorageError as error:
            logger.info("job %s: its events can't be fetched now: %s", job.uid, error)
        except _Unsound as error:
            logger.warning("job %s: %s", job.uid, error)
        return attempt

    async def _claim(
        self, place: ObjectStore, job: JobRecord, attempt: AttemptRecord
    ) -> AttemptRecord:
        content = await place.read(claim_uri(job.output_uri, attempt.number), length=BYTES_MAX)
        try:
            run_uid = _claim.decode(content).run_uid
        except msgspec.DecodeError:
            raise _Unsound("the claim beside its output can't be read") from None
        claimed = await self.store.claim_attempt(attempt.attempt_id, run_uid)
        if not claimed.granted or claimed.attempt is None:
            return attempt
        try:
            async with bounded():
                await self.engines.get(attempt.launcher).claimed(attempt.run_name)
        except EngineUnavailable:
            logger.info("%s keeps its secrets until it is cleaned up", attempt.run_name)
        return claimed.attempt

    async def _events(
        self, place: ObjectStore, job: JobRecord, attempt: AttemptRecord, run_uid: str
    ) -> AttemptRecord:
        for _ in range(OBJECTS_MAX):
            first = attempt.received_through + 1
            uri = events_uri(job.output_uri, attempt.number, first)
            try:
                content = await place.read(uri, length=BYTES_MAX)
            except ObjectNotFound:
                break
            events = _decoded(content, first)
            stored = await self.store.add_trainer_events(attempt.attempt_id, run_uid, events)
            if stored is None or stored.received_through < first:
                break
            attempt = stored
            await _discard(place, uri)
        return attempt


async def _discard(place: ObjectStore, uri: str) -> None:
    """The job's log has the events now. The claim stays for good: a twin that wakes late must not win it."""
    try:
        await place.delete(uri)
    except StorageError as error:
        logger.info("fetched events stay where they are: %s", error)


def _decoded(content: bytes, first: int) -> list[SequencedEvent]:
    try:
        events = [_event.decode(line) for line in content.splitlines() if line]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _Unsound("events beside its output can't be read") from None
    if not events or [one.sequence for one in events] != [*range(first, first + len(events))]:
        raise _Unsound("events beside its output are not numbered as their name says")
    if any(out_of_range(one.event) for one in events):
        raise _Unsound("events beside its output hold numbers that can't be")
    return events
