"""What a store decides by itself, without a look at the database: guards, versions, what a claim needs."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from tunegate.control.records import FINAL, AttemptRecord, JobRecord, JobState
from tunegate.control.store.protocol import Change

OWN_FIELDS = frozenset(
    {"uid", "tenant", "job_id", "created_ms", "updated_ms", "version", "last_sequence"}
    | {"epoch", "owner", "lease_until_ms"}
)
"""Fields of a JobRecord that the store alone sets."""

REOPENED = frozenset({JobState.QUEUED, JobState.RECOVERING})


def check_fields(change: Change) -> None:
    """Raises ValueError when a change sets what is the store's own."""
    if refused := OWN_FIELDS & change.fields.keys():
        raise ValueError(f"a change can't set {', '.join(sorted(refused))}")


def allows(job: JobRecord, change: Change) -> bool:
    """Whether the guard of a change holds for the job as it is."""
    if job.version != change.version or change.epoch not in (None, job.epoch):
        return False
    state = change.fields.get("state", job.state)
    if job.state not in FINAL or state == job.state:
        return True
    # Final states absorb. Only a retry opens a job again, and says so in full.
    return state in REOPENED and change.fields.get("desired") == "run"


def is_visible(change: Change) -> bool:
    """Whether clients see anything of it."""
    return bool(change.events) or not change.fields.keys() <= {"due_ms"}


def changed(job: JobRecord, change: Change, now_ms: int, *, woken: bool) -> JobRecord:
    """The job after the change. A wake-up that came during the lease is not put off by the holder's own plan."""
    fields: dict[str, Any] = {
        **change.fields,
        "version": job.version + 1,
        "updated_ms": now_ms if is_visible(change) else job.updated_ms,
        "last_sequence": job.last_sequence + len(change.events),
    }
    after = replace(job, **fields)
    if not change.releases_lease:
        return after
    due_ms = min(after.due_ms, now_ms) if woken else after.due_ms
    return replace(after, owner=None, lease_until_ms=0, due_ms=due_ms)


def claimable(job: JobRecord, attempt: AttemptRecord) -> bool:
    """Whether the attempt is current and open, and its job is to run."""
    return is_live(job, attempt) and job.desired == "run"


def is_live(job: JobRecord, attempt: AttemptRecord) -> bool:
    """Whether the attempt is current and open, and its job is not over."""
    current = attempt.number == job.attempt and attempt.ended_ms is None
    return current and job.state not in FINAL


def contiguous(through: int, sequences: Iterable[int]) -> int:
    """The number up to which no event is missing; `sequences` are those behind `through`, in order."""
    for sequence in sequences:
        if sequence != through + 1:
            break
        through += 1
    return through
