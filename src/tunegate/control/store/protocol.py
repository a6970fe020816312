"""`JobStore`: all that the control plane asks of a database. One contract suite holds every driver to it.

Every method is one transaction. "Durable" means synced to disk before the call returns. Trouble of the disk or the
machine raises TunegateError `unavailable`: nothing of that call is stored, and the next call may work again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from tunegate.contract.attempt import SequencedEvent, TrainerEvent
from tunegate.contract.audit import AuditHead
from tunegate.contract.base import Wire
from tunegate.contract.job import JobEvent
from tunegate.contract.request import Status
from tunegate.control.audit import AuditFilter, Happening, Sealed
from tunegate.control.caller import GATEWAY, Caller
from tunegate.control.fair import Holding
from tunegate.control.records import (
    AttemptRecord,
    Channel,
    Delivery,
    JobRecord,
    NewDelivery,
    NewEvent,
)
from tunegate.control.tokens import TokenRecord


class Submission(Wire):
    """What `create_job` writes in one transaction. `sealed` maps field names to sealed bytes."""

    job: JobRecord
    sealed: dict[str, bytes]
    events: list[NewEvent]
    deliveries: list[NewDelivery]
    caller: Caller = GATEWAY
    """Who asked, for the audit log. Other writes take it from the task that they are called in."""
    max_jobs: int | None = None
    """So many unfinished jobs the tenant may have, this one included."""


class SealedRow(Wire):
    """One sealed field and whose it is."""

    uid: str
    tenant: str
    field: str
    body: bytes


class Created(Wire):
    """`created` False: the job_id was there; `job` is the one that holds it."""

    job: JobRecord
    created: bool


class JobFilter(Wire):
    """None = any. `metadata` pairs must all match; `search` is part of the job_id or of a pair's value, in any case."""

    status: Status | None = None
    backend: str | None = None
    metadata: dict[str, str] = {}
    launcher: str | None = None
    search: str | None = None
    since_ms: int | None = None
    """Created then or later."""
    until_ms: int | None = None
    """Created before."""


class Change(Wire):
    """One guarded transition of a job, all or nothing.

    `fields` are JobRecord fields to set; version, updated_ms and last_sequence are the store's own business.
    `attempt_fields` go to the attempt of number `attempt_number`. `epoch` None = the writer holds no lease (API calls).
    `releases_lease` gives the lease back and makes the job due at `fields["due_ms"]`, or now if it was woken meanwhile.

    Final states absorb: a change of a final job may not touch `state`, except a retry, whose `fields` say `desired`
    "run" and `state` queued or recovering. Others fail the guard. `updated_ms` moves with events and with any field but
    `due_ms`.
    """

    uid: str
    version: int
    epoch: int | None = None
    fields: dict[str, Any] = {}
    events: list[NewEvent] = []
    deliveries: list[NewDelivery] = []
    new_attempt: AttemptRecord | None = None
    attempt_number: int | None = None
    attempt_fields: dict[str, Any] = {}
    sealed: dict[str, bytes] = {}
    """Sealed fields to write (a retry that brings fresh credentials)."""
    destroy_sealed: list[str] = []
    releases_lease: bool = False


class Claim(Wire):
    """The result of a claim. `granted` False: another run holds the attempt, or it is over."""

    granted: bool
    job: JobRecord | None = None
    attempt: AttemptRecord | None = None


class Sent(Wire):
    """What became of a row of the outbox so far; nothing of its address."""

    delivery_id: str
    sequence: int
    final: bool
    outcome: Literal["waiting", "delivered", "dead"]
    created_ms: int
    next_at_ms: int
    """When a waiting row is tried next."""
    ended_ms: int | None
    tries: list[tuple[int, str]]
    """The latest tries, oldest first: when, and what came of it (`delivered`, or why not)."""


class PutOff(NamedTuple):
    """A row of the outbox that is due later. `epoch` None = whoever holds it."""

    delivery_id: str
    next_at_ms: int
    epoch: int | None = None


class Counts(Wire):
    """For gauges: jobs by state, outbox rows waiting, age of the oldest queued job and delivery in ms."""

    jobs: dict[str, int]
    outbox: int
    oldest_queued_ms: int | None
    oldest_delivery_ms: int | None


Expirable = Literal["jobs", "events", "deliveries", "tokens"]
"""What grows old."""


class JobStore(Protocol):
    """See the module's docstring. All reads are of committed state."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def ping(self) -> None:
        """Raises `unavailable` when the database can't be written."""
        ...

    def now_ms(self) -> int:
        """The store's clock."""
        ...

    async def generation(self) -> str:
        """Which life of the database this is, eight hexadecimal digits; another one begins after a restore."""
        ...

    def on_event(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener(uid)` after each commit that changed the job or woke it: a hint, never the truth.

        On the event loop that opened the store; leases alone call nobody. Returns the unsubscriber.
        """
        ...

    # Jobs
    async def create_job(self, submission: Submission) -> Created:
        """Durable insert, or the job that holds (tenant, job_id). Raises TunegateError too_many_jobs."""
        ...

    async def get_job(self, tenant: str, job_id: str) -> JobRecord | None: ...
    async def get_by_uid(self, uid: str) -> JobRecord | None: ...
    async def list_jobs(
        self, tenant: str, wanted: JobFilter, after: str | None, limit: int
    ) -> tuple[list[JobRecord], bool]:
        """Newest first; `after` is the job_id of the last one seen; the flag says whether there are more.

        Raises TunegateError `invalid_parameter` when `after` names no job of the tenant.
        """
        ...

    async def apply(self, change: Change) -> JobRecord | None:
        """Durable; None when the guard failed (somebody else was faster): read again and decide anew."""
        ...

    async def forget(self, tenant: str, job_id: str) -> bool:
        """Remove a final job and all its rows; False when it is not there or not final."""
        ...

    # Work
    async def lease_due(
        self, owner: str, limit: int, lease_ms: int, room: Mapping[str, int] | None = None
    ) -> list[JobRecord]:
        """Take jobs that are due and unleased (or whose lease ran out); each gets epoch+1.

        A job is due when its `due_ms` has come and it is not final, or final with something left to tidy: its current
        attempt's engine object is not cleaned up yet, or sealed fields remain. The longest due come first, and those
        that wait to be launched (state queued, desired "run") last.

        `room` says by launcher how many of its runs may wait in the engine, None = any number: so many jobs at most
        are launching or pending there once those that wait to be launched were taken. A launcher not named has no room.
        """
        ...

    async def queue_position(self, uid: str) -> int | None:
        """How many jobs are about to be launched before this one, tenants taking turns; None = it does not wait."""
        ...

    async def held_by(self, tenant: str) -> Holding:
        """What the tenant's running jobs hold."""
        ...

    async def unfinished_jobs(self, tenant: str) -> int: ...

    async def renew_leases(self, owner: str, uids: Sequence[str], lease_ms: int) -> set[str]:
        """Those of the jobs that `owner` still holds: nobody else took them meanwhile."""
        ...

    async def wake(self, uid: str) -> None:
        """Make the job due now."""
        ...

    # Attempts
    async def get_attempt(self, uid: str, number: int) -> AttemptRecord | None: ...
    async def find_attempt(self, attempt_id: str) -> AttemptRecord | None: ...
    async def known_runs(self, launcher: str, run_names: Sequence[str]) -> set[str]:
        """Which of these run names belong to an attempt that is not cleaned up."""
        ...

    async def runs_on_record(self, launcher: str, run_names: Sequence[str]) -> set[str]:
        """Which of these run names belong to any attempt, cleaned up or not."""
        ...

    async def claim_attempt(self, attempt_id: str, run_uid: str) -> Claim:
        """The claim fence, durable: granted to the first run_uid of a current, open attempt of a job that is to run,
        and to the same run_uid again (same fence). Fence numbers grow without end.
        """
        ...

    async def add_trainer_events(
        self, attempt_id: str, run_uid: str, events: Sequence[SequencedEvent]
    ) -> AttemptRecord | None:
        """Store events of the claimed run, doubles vanish; None when `run_uid` does not hold the claim. Wakes the job."""
        ...

    async def append_trainer_events(
        self, attempt_id: str, events: Sequence[TrainerEvent]
    ) -> AttemptRecord | None:
        """Store events of a program that neither claims nor numbers: they follow those that are there. None when the
        attempt is not open and current, or its job is over. Wakes the job.
        """
        ...

    async def read_trainer_events(
        self, attempt_id: str, after: int, limit: int
    ) -> list[SequencedEvent]: ...

    # The event log
    async def read_events(
        self, uid: str, after: int, limit: int, types: Sequence[str] | None = None
    ) -> list[JobEvent]: ...

    # Outbox
    async def lease_deliveries(self, owner: str, limit: int, lease_ms: int) -> list[Delivery]:
        """Due rows, at most one per (job, channel), only the lowest sequence that is undelivered.

        `follows_accepted` says whether an earlier row of the same job and channel was delivered. Each lease has its
        `epoch`: given to `postpone`, `put_off` or `bury`, a holder that lost the lease meanwhile writes nothing.
        """
        ...

    async def delivered(self, delivery_id: str, epoch: int | None = None) -> None:
        """Recorded whoever says it, and whenever."""
        ...

    async def postpone(
        self, delivery_id: str, next_at_ms: int, note: str, epoch: int | None = None
    ) -> None:
        """One more try counted. `note` says why, without any content of the answer."""
        ...

    async def put_off(self, rows: Sequence[PutOff]) -> None:
        """Leased rows wait on; no try was made."""
        ...

    async def bury(self, delivery_id: str, note: str, epoch: int | None = None) -> None:
        """Dead letter: kept, not sent again unless it is replayed."""
        ...

    async def pending_deliveries(self, uid: str, channel: Channel | None = None) -> int: ...
    async def dead_finals(self, uid: str, since_ms: int) -> int:
        """Webhooks of final statuses that were buried since then."""
        ...

    async def read_deliveries(self, uid: str, after: int, limit: int) -> list[Sent]:
        """The job's webhooks from behind event `after`, oldest first."""
        ...

    async def replay(self, uid: str, delivery_ids: Sequence[str] | None) -> int:
        """Webhooks that ended wait again, due now and with all their tries; their number.

        None = dead letters behind the newest that was delivered. Wakes the job.
        """
        ...

    # Sealed secrets
    async def get_sealed(self, uid: str, field: str) -> bytes | None: ...
    async def destroy_sealed(self, uid: str, fields: Sequence[str]) -> None: ...

    async def list_sealed(
        self, field: str, format_byte: bytes, after: tuple[str, str], limit: int
    ) -> list[SealedRow]:
        """Rows of this field, and rows that do not begin with `format_byte`; by (uid, field), from behind `after`."""
        ...

    async def replace_sealed(
        self, uid: str, old: Mapping[str, bytes], new: Mapping[str, bytes]
    ) -> bool:
        """Write `new`, as long as all of `old` is still there as it was."""
        ...

    # Tokens that operators made
    async def add_token(self, record: TokenRecord) -> None: ...
    async def get_token(self, token_id: str) -> TokenRecord | None: ...
    async def list_tokens(self, tenant: str | None) -> list[TokenRecord]:
        """Oldest first; None = of all tenants."""
        ...

    async def end_token(self, token_id: str, expires_ms: int | None) -> TokenRecord | None:
        """Revoked now (None), or expired then at the latest; None when there is no such token."""
        ...

    async def note_token_uses(self, uses: Mapping[str, int]) -> None:
        """When tokens (by id) were last used, in ms."""
        ...

    # The audit log: every change of a job, its secrets or a token is noted with it, and on whose behalf
    async def note_audit(self, happenings: Sequence[Happening]) -> None:
        """Write down what is no change of this store. Durable."""
        ...

    async def seal_audit(self, limit: int) -> Sealed:
        """Chain the next entries, so many at most. Several gateways may try: one at a time does."""
        ...

    async def audit_head(self) -> AuditHead: ...
    async def read_audit(
        self, wanted: AuditFilter, after: int, limit: int
    ) -> list[tuple[int, bytes]]:
        """Numbers and lines of sealed entries from behind entry `after`, oldest first."""
        ...

    # Retention
    async def take_retention_turn(self, for_ms: int) -> bool:
        """Whether this gateway is to remove what is old; no other is for so long."""
        ...

    async def expire(
        self, what: Literal["jobs", "events", "deliveries", "tokens"], before_ms: int, limit: int
    ) -> list[str]:
        """Remove what is older: jobs of which nothing was left to do then, their events but the last, their webhooks,
        or tokens that had ended. The uids of so many jobs at most, or ids of tokens.

        A job with a webhook that waits is not touched.
        """
        ...

    async def trim_audit(self, before_ms: int, limit: int) -> int:
        """Remove the oldest entries, up to the first that is not older; their number. A new entry vouches for them."""
        ...

    # Gauges
    async def counts(self) -> Counts: ...
