"""`SqliteStore`: the promises of `JobStore`, each one function sent to the writer or to a reader."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from tunegate.contract.attempt import SequencedEvent
from tunegate.contract.job import JobEvent
from tunegate.control.records import AttemptRecord, Channel, Delivery, JobRecord
from tunegate.control.store.errors import unavailable
from tunegate.control.store.protocol import (
    Change,
    Claim,
    Counts,
    Created,
    JobFilter,
    Sent,
    Submission,
)
from tunegate.control.store.sqlite import (
    attempts,
    changes,
    gauges,
    jobs,
    log,
    outbox,
    sealed,
    work,
)
from tunegate.control.store.sqlite.connection import (
    TROUBLE,
    create_private,
    open_reader,
    open_writer,
)
from tunegate.control.store.sqlite.migrations import migrate
from tunegate.control.store.sqlite.readers import Readers
from tunegate.control.store.sqlite.safety import FileLock, check_file_system, check_sqlite_version
from tunegate.control.store.sqlite.writer import Writer
from tunegate.sdk.clock import Clock

logger = logging.getLogger(__name__)
Listener = Callable[[str], None]


class SqliteStore:
    """One database file for one gateway process. See `JobStore` for what each method promises."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._writer = Writer(partial(open_writer, path), clock, self._notify)
        self._readers = Readers(partial(open_reader, path))
        self._listeners: list[Listener] = []

    async def open(self) -> None:
        """Raises StoreUnsafe where acknowledged work could be lost, `unavailable` when the disk gives trouble."""
        check_sqlite_version()
        create_private(self._path)
        check_file_system(self._path.parent)
        self._lock.acquire()
        try:
            with closing(open_writer(self._path)) as db:
                migrate(db, self.now_ms())
        except TROUBLE as error:
            self._lock.release()
            raise unavailable() from error
        except BaseException:
            self._lock.release()
            raise
        self._writer.start()
        self._readers.start()

    async def close(self) -> None:
        await self._writer.stop()
        await self._readers.stop()
        self._lock.release()

    async def ping(self) -> None:
        await self._writer.run(gauges.ping)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def on_event(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def _notify(self, uid: str) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(uid)
            except Exception:
                logger.exception("A listener of the job store failed")

    # Jobs

    async def create_job(self, submission: Submission) -> Created:
        return await self._writer.run(lambda tx: jobs.create(tx, submission))

    async def get_job(self, tenant: str, job_id: str) -> JobRecord | None:
        return await self._readers.run(lambda db: jobs.find(db, tenant, job_id))

    async def get_by_uid(self, uid: str) -> JobRecord | None:
        return await self._readers.run(lambda db: jobs.find_by_uid(db, uid))

    async def list_jobs(
        self, tenant: str, wanted: JobFilter, after: str | None, limit: int
    ) -> tuple[list[JobRecord], bool]:
        return await self._readers.run(lambda db: jobs.page(db, tenant, wanted, after, limit))

    async def apply(self, change: Change) -> JobRecord | None:
        return await self._writer.run(lambda tx: changes.apply(tx, change))

    async def forget(self, tenant: str, job_id: str) -> bool:
        return await self._writer.run(lambda tx: jobs.forget(tx, tenant, job_id))

    # Work

    async def lease_due(
        self, owner: str, limit: int, lease_ms: int, room: Mapping[str, int] | None = None
    ) -> list[JobRecord]:
        return await self._writer.run(lambda tx: work.lease(tx, owner, limit, lease_ms, room))

    async def queue_position(self, uid: str) -> int | None:
        return await self._readers.run(lambda db: work.queue_position(db, uid))

    async def renew_leases(self, owner: str, uids: Sequence[str], lease_ms: int) -> None:
        await self._writer.run(lambda tx: work.renew(tx, owner, uids, lease_ms))

    async def wake(self, uid: str) -> None:
        await self._writer.run(lambda tx: work.wake(tx, uid))

    # Attempts

    async def get_attempt(self, uid: str, number: int) -> AttemptRecord | None:
        return await self._readers.run(lambda db: attempts.find_by_number(db, uid, number))

    async def find_attempt(self, attempt_id: str) -> AttemptRecord | None:
        return await self._readers.run(lambda db: attempts.find(db, attempt_id))

    async def known_runs(self, launcher: str, run_names: Sequence[str]) -> set[str]:
        return await self._readers.run(lambda db: attempts.known_runs(db, launcher, run_names))

    async def claim_attempt(self, attempt_id: str, run_uid: str) -> Claim:
        return await self._writer.run(lambda tx: attempts.claim(tx, attempt_id, run_uid))

    async def add_trainer_events(
        self, attempt_id: str, run_uid: str, events: Sequence[SequencedEvent]
    ) -> AttemptRecord | None:
        return await self._writer.run(
            lambda tx: attempts.add_events(tx, attempt_id, run_uid, events)
        )

    async def read_trainer_events(
        self, attempt_id: str, after: int, limit: int
    ) -> list[SequencedEvent]:
        return await self._readers.run(
            lambda db: attempts.read_events(db, attempt_id, after, limit)
        )

    # The event log

    async def read_events(
        self, uid: str, after: int, limit: int, types: Sequence[str] | None = None
    ) -> list[JobEvent]:
        return await self._readers.run(lambda db: log.read(db, uid, after, limit, types))

    # Outbox

    async def lease_deliveries(self, owner: str, limit: int, lease_ms: int) -> list[Delivery]:
        return await self._writer.run(lambda tx: outbox.lease(tx, owner, limit, lease_ms))

    async def delivered(self, delivery_id: str) -> None:
        await self._writer.run(lambda tx: outbox.delivered(tx, delivery_id))

    async def postpone(self, delivery_id: str, next_at_ms: int, note: str) -> None:
        await self._writer.run(lambda tx: outbox.postpone(tx, delivery_id, next_at_ms, note))

    async def put_off(self, delivery_id: str, next_at_ms: int) -> None:
        await self._writer.run(lambda tx: outbox.put_off(tx, delivery_id, next_at_ms))

    async def bury(self, delivery_id: str, note: str) -> None:
        await self._writer.run(lambda tx: outbox.bury(tx, delivery_id, note))

    async def pending_deliveries(self, uid: str, channel: Channel | None = None) -> int:
        return await self._readers.run(lambda db: outbox.pending(db, uid, channel))

    async def dead_finals(self, uid: str, since_ms: int) -> int:
        return await self._readers.run(lambda db: outbox.dead_finals(db, uid, since_ms))

    async def read_deliveries(self, uid: str, after: int, limit: int) -> list[Sent]:
        return await self._readers.run(lambda db: outbox.read(db, uid, after, limit))

    async def replay(self, uid: str, delivery_ids: Sequence[str] | None) -> int:
        return await self._writer.run(lambda tx: outbox.replay(tx, uid, delivery_ids))

    # Sealed secrets

    async def get_sealed(self, uid: str, field: str) -> bytes | None:
        return await self._readers.run(lambda db: sealed.read(db, uid, field))

    async def destroy_sealed(self, uid: str, fields: Sequence[str]) -> None:
        await self._writer.run(lambda tx: work.destroy_sealed(tx, uid, fields))

    # Gauges

    async def counts(self) -> Counts:
        return await self._readers.run(lambda db: gauges.counts(db, self.now_ms()))
