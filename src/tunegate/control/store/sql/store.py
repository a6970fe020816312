"""`SqlStore`: the promises of `JobStore`, each one a piece of work that a driver runs.

A new promise is a line here, its work in the file of its noun beside this one, and a test in the contract suite; a new
table is one numbered migration per driver.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from tunegate.contract.attempt import SequencedEvent, TrainerEvent
from tunegate.contract.audit import AuditHead
from tunegate.contract.job import JobEvent
from tunegate.control.audit import AuditFilter, Happening, Sealed
from tunegate.control.fair import Holding
from tunegate.control.records import AttemptRecord, Channel, Delivery, JobRecord
from tunegate.control.store.protocol import (
    Change,
    Claim,
    Counts,
    Created,
    Expirable,
    JobFilter,
    PutOff,
    SealedRow,
    Sent,
    Submission,
)
from tunegate.control.store.sql import (
    attempts,
    audit,
    changes,
    gauges,
    generation,
    jobs,
    leases,
    log,
    outbox,
    queue,
    resealing,
    retention,
    sealed,
    tokens,
)
from tunegate.control.store.sql.statement import Transaction, Work
from tunegate.control.tokens import TokenRecord

T = TypeVar("T")
Listener = Callable[[str], None]
logger = logging.getLogger(__name__)


class SqlStore(ABC):
    """See `JobStore` for what each method promises."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._generation: str | None = None

    @abstractmethod
    async def open(self) -> None: ...
    async def open_to_read(self) -> None:
        """For a look from outside, beside the gateways that use it."""
        await self.open()

    @abstractmethod
    async def close(self) -> None: ...
    @abstractmethod
    def now_ms(self) -> int: ...

    @abstractmethod
    async def _write(self, work: Callable[[Transaction], Work[T]]) -> T:
        """Run it in one transaction that is durable when this returns; tell the listeners."""

    @abstractmethod
    async def _read(self, work: Callable[[], Work[T]]) -> T:
        """Run it on committed state."""

    def on_event(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def _notify(self, uid: str) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(uid)
            except Exception:
                logger.exception("A listener of the job store failed")

    async def ping(self) -> None:
        await self._write(gauges.ping)

    async def generation(self) -> str:
        if self._generation is None:
            self._generation = await self._read(generation.read)
        return self._generation

    # Jobs

    async def create_job(self, submission: Submission) -> Created:
        return await self._write(lambda tx: jobs.create(tx, submission))

    async def get_job(self, tenant: str, job_id: str) -> JobRecord | None:
        return await self._read(lambda: jobs.find(tenant, job_id))

    async def get_by_uid(self, uid: str) -> JobRecord | None:
        return await self._read(lambda: jobs.find_by_uid(uid))

    async def list_jobs(
        self, tenant: str, wanted: JobFilter, after: str | None, limit: int
    ) -> tuple[list[JobRecord], bool]:
        return await self._read(lambda: jobs.page(tenant, wanted, after, limit))

    async def apply(self, change: Change) -> JobRecord | None:
        return await self._write(lambda tx: changes.apply(tx, change))

    async def forget(self, tenant: str, job_id: str) -> bool:
        return await self._write(lambda tx: jobs.forget(tx, tenant, job_id))

    # Work

    async def lease_due(
        self, owner: str, limit: int, lease_ms: int, room: Mapping[str, int] | None = None
    ) -> list[JobRecord]:
        return await self._write(lambda tx: leases.lease(tx, owner, limit, lease_ms, room))

    async def queue_position(self, uid: str) -> int | None:
        return await self._read(lambda: queue.place(uid))

    async def held_by(self, tenant: str) -> Holding:
        return await self._read(lambda: queue.held_by(tenant, self.now_ms()))

    async def unfinished_jobs(self, tenant: str) -> int:
        return await self._read(lambda: jobs.unfinished(tenant))

    async def renew_leases(self, owner: str, uids: Sequence[str], lease_ms: int) -> set[str]:
        return await self._write(lambda tx: leases.renew(tx, owner, uids, lease_ms))

    async def wake(self, uid: str) -> None:
        await self._write(lambda tx: leases.wake(tx, uid))

    # Attempts

    async def get_attempt(self, uid: str, number: int) -> AttemptRecord | None:
        return await self._read(lambda: attempts.find_by_number(uid, number))

    async def find_attempt(self, attempt_id: str) -> AttemptRecord | None:
        return await self._read(lambda: attempts.find(attempt_id))

    async def known_runs(self, launcher: str, run_names: Sequence[str]) -> set[str]:
        return await self._read(lambda: attempts.known_runs(launcher, run_names))

    async def runs_on_record(self, launcher: str, run_names: Sequence[str]) -> set[str]:
        return await self._read(lambda: attempts.runs_on_record(launcher, run_names))

    async def claim_attempt(self, attempt_id: str, run_uid: str) -> Claim:
        return await self._write(lambda tx: attempts.claim(tx, attempt_id, run_uid))

    async def add_trainer_events(
        self, attempt_id: str, run_uid: str, events: Sequence[SequencedEvent]
    ) -> AttemptRecord | None:
        return await self._write(lambda tx: attempts.add_events(tx, attempt_id, run_uid, events))

    async def append_trainer_events(
        self, attempt_id: str, events: Sequence[TrainerEvent]
    ) -> AttemptRecord | None:
        return await self._write(lambda tx: attempts.append_events(tx, attempt_id, events))

    async def read_trainer_events(
        self, attempt_id: str, after: int, limit: int
    ) -> list[SequencedEvent]:
        return await self._read(lambda: attempts.read_events(attempt_id, after, limit))

    # The event log

    async def read_events(
        self, uid: str, after: int, limit: int, types: Sequence[str] | None = None
    ) -> list[JobEvent]:
        return await self._read(lambda: log.read(uid, after, limit, types))

    # Outbox

    async def lease_deliveries(self, owner: str, limit: int, lease_ms: int) -> list[Delivery]:
        return await self._write(lambda tx: outbox.lease(tx, owner, limit, lease_ms))

    async def delivered(self, delivery_id: str, epoch: int | None = None) -> None:
        await self._write(lambda tx: outbox.delivered(tx, delivery_id, epoch))

    async def postpone(
        self, delivery_id: str, next_at_ms: int, note: str, epoch: int | None = None
    ) -> None:
        await self._write(lambda tx: outbox.postpone(tx, delivery_id, next_at_ms, note, epoch))

    async def put_off(self, rows: Sequence[PutOff]) -> None:
        await self._write(lambda tx: outbox.put_off(tx, rows))

    async def bury(self, delivery_id: str, note: str, epoch: int | None = None) -> None:
        await self._write(lambda tx: outbox.bury(tx, delivery_id, note, epoch))

    async def pending_deliveries(self, uid: str, channel: Channel | None = None) -> int:
        return await self._read(lambda: outbox.pending(uid, channel))

    async def dead_finals(self, uid: str, since_ms: int) -> int:
        return await self._read(lambda: outbox.dead_finals(uid, since_ms))

    async def read_deliveries(self, uid: str, after: int, limit: int) -> list[Sent]:
        return await self._read(lambda: outbox.read(uid, after, limit))

    async def replay(self, uid: str, delivery_ids: Sequence[str] | None) -> int:
        return await self._write(lambda tx: outbox.replay(tx, uid, delivery_ids))

    # Sealed secrets

    async def get_sealed(self, uid: str, field: str) -> bytes | None:
        return await self._read(lambda: sealed.read(uid, field))

    async def destroy_sealed(self, uid: str, fields: Sequence[str]) -> None:
        await self._write(lambda tx: leases.destroy_sealed(tx, uid, fields))

    async def list_sealed(
        self, field: str, format_byte: bytes, after: tuple[str, str], limit: int
    ) -> list[SealedRow]:
        return await self._read(lambda: resealing.list_rows(field, format_byte, after, limit))

    async def replace_sealed(
        self, uid: str, old: Mapping[str, bytes], new: Mapping[str, bytes]
    ) -> bool:
        return await self._write(lambda tx: resealing.replace(tx, uid, old, new))

    # Tokens

    async def add_token(self, record: TokenRecord) -> None:
        await self._write(lambda tx: tokens.add(tx, record))

    async def get_token(self, token_id: str) -> TokenRecord | None:
        return await self._read(lambda: tokens.find(token_id))

    async def list_tokens(self, tenant: str | None) -> list[TokenRecord]:
        return await self._read(lambda: tokens.all_of(tenant))

    async def end_token(self, token_id: str, expires_ms: int | None) -> TokenRecord | None:
        return await self._write(lambda tx: tokens.end(tx, token_id, expires_ms))

    async def note_token_uses(self, uses: Mapping[str, int]) -> None:
        await self._write(lambda tx: tokens.note_uses(tx, uses))

    # The audit log

    async def note_audit(self, happenings: Sequence[Happening]) -> None:
        await self._write(lambda tx: audit.note_all(tx, happenings))

    async def seal_audit(self, limit: int) -> Sealed:
        if not await self._read(audit.waiting):
            return Sealed(count=0, head=await self.audit_head())
        return await self._write(lambda tx: audit.seal(tx, limit))

    async def audit_head(self) -> AuditHead:
        return await self._read(audit.head)

    async def read_audit(
        self, wanted: AuditFilter, after: int, limit: int
    ) -> list[tuple[int, bytes]]:
        return await self._read(lambda: audit.read(wanted, after, limit))

    # Retention

    async def take_retention_turn(self, for_ms: int) -> bool:
        return await self._write(lambda tx: retention.take_turn(tx, for_ms))

    async def expire(self, what: Expirable, before_ms: int, limit: int) -> list[str]:
        return await self._write(lambda tx: retention.expire(tx, what, before_ms, limit))

    async def trim_audit(self, before_ms: int, limit: int) -> int:
        return await self._write(lambda tx: audit.trim(tx, before_ms, limit))

    # Gauges

    async def counts(self) -> Counts:
        return await self._read(lambda: gauges.counts(self.now_ms()))
