"""What the store keeps of a job: values only, times in ms since 1970 on the store's clock."""

from enum import StrEnum
from typing import Any, Literal

from tunegate.contract.attempt import SequencedEvent
from tunegate.contract.base import Wire
from tunegate.contract.container import ContainerSpec
from tunegate.contract.job import JobError, Progress
from tunegate.contract.problems import Ignored
from tunegate.contract.request import Status, StatusFilter


class JobState(StrEnum):
    """The inner states; `PUBLIC` folds them into the five that clients see."""

    QUEUED = "queued"
    LAUNCHING = "launching"
    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    UPLOADING = "uploading"
    RECOVERING = "recovering"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


PUBLIC: dict[JobState, Status] = {
    JobState.QUEUED: "queued",
    JobState.LAUNCHING: "queued",
    JobState.PENDING: "queued",
    JobState.STARTING: "queued",
    JobState.RUNNING: "running",
    JobState.UPLOADING: "running",
    JobState.RECOVERING: "running",
    JobState.STOPPING: "running",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
FINAL: frozenset[JobState] = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
StopReason = Literal["cancel", "deadline"]
RESULT_FILES = "files"
"""In the data of the event that says `succeeded`: the manifest's files, readable when the credentials are long gone."""


class JobRecord(Wire):
    """One job. `uid` is ours and unique; `job_id` is the client's and unique per tenant.

    Writers guard every change by (uid, version) and, where they hold the lease, by epoch.
    """

    uid: str
    tenant: str
    job_id: str
    backend_job_id: str
    backend: str
    launcher: str
    state: JobState
    phase: str
    detail: str
    output_uri: str
    log_uri: str | None
    container: ContainerSpec
    launcher_options: dict[str, Any]
    request: bytes
    """The request as canonical JSON with every secret replaced."""
    body_digest: bytes
    """Keyed digest of the request (secrets included), for idempotency."""
    budget_ms: int
    created_ms: int
    updated_ms: int
    due_ms: int
    """When the reconciler should look at it next."""
    version: int = 1
    epoch: int = 0
    owner: str | None = None
    lease_until_ms: int = 0
    desired: Literal["run", "stop"] = "run"
    stop_reason: StopReason | None = None
    stop_at_ms: int | None = None
    attempt: int = 0
    gpus: int = 0
    """Of all nodes together."""
    gpu_limit: int | None = None
    """GPUs that the running jobs of the tenant may hold, by the token that the job was submitted with."""
    retries_left: int = 0
    """After trouble of the infrastructure."""
    preemptions: int = 0
    """Attempts that were stopped from outside."""
    memory_kills: int = 0
    """Attempts that their engine killed for their memory."""
    used_ms: int = 0
    """Running time of closed attempts; the open one is counted from its record."""
    last_sequence: int = 0
    progress: Progress | None = None
    error: JobError | None = None
    queue_reason: str | None = None
    ignored: list[Ignored] = []
    notes: list[str] = []
    metadata: dict[str, str] = {}
    has_webhook: bool = False
    has_stream: bool = False
    event_filter: list[StatusFilter] | None = None
    interval_s: float | None = None
    has_secrets: bool = False
    """Whether the request held anything that its redacted copy lacks; such a job can't go on once they are destroyed."""

    @property
    def status(self) -> Status:
        return PUBLIC[self.state]

    @property
    def is_queued(self) -> bool:
        """Whether it waits to be launched, in the gateway's own queue."""
        return self.state is JobState.QUEUED and self.desired == "run"


class AttemptRecord(Wire):
    """One try at a job, with its deterministic run name. Open until `ended_ms` is set."""

    attempt_id: str
    uid: str
    number: int
    run_name: str
    launcher: str
    token_hash: bytes
    created_ms: int
    submitted: bool = False
    """The engine has confirmed the run (created or adopted)."""
    claimed_by: str | None = None
    fence: int | None = None
    claimed_ms: int | None = None
    """When it began to run: the claim, or where its program need not claim the moment at which it was seen to run."""
    last_seen_ms: int | None = None
    received_through: int = 0
    """Events 1..n are stored without a gap."""
    folded_through: int = 0
    """Events 1..n have had their effect on the job."""
    latest: dict[str, float] = {}
    """The newest metrics of a program that tells them again and again."""
    outcome: SequencedEvent | None = None
    """The trainer's last word: succeeded, failed or stopped."""
    exit_code: int | None = None
    absent_since_ms: int | None = None
    """When the engine first said that it knows no such run, and ever since."""
    ended_since_ms: int | None = None
    """When the engine first said that the run is over."""
    cancelled_ms: int | None = None
    """When it was last asked to stop the run."""
    ended_ms: int | None = None
    cleaned: bool = False
    """The engine's object was removed."""
    resume: bool = False
    offline: bool = False
    """Its run can't reach the gateway: the fence is drawn with the intent, claim and events are fetched (`mailbox`)."""


class NewEvent(Wire):
    """An event about to join a job's log; the store numbers it."""

    type: str
    status: Status
    phase: str
    detail: str
    attempt: int
    data: dict[str, Any] = {}


Channel = Literal["webhook", "stream"]


class NewDelivery(Wire):
    """Exact bytes to be sent for the event at `event_index` of the same change.

    A writer knows the sequence numbers beforehand (`last_sequence + 1 + index`): its guard makes them true.
    """

    channel: Channel
    event_index: int
    body: bytes
    not_before_ms: int
    final: bool = False


class Delivery(Wire):
    """A row of the outbox. Rows of one job and channel leave strictly in order, one in flight."""

    delivery_id: str
    uid: str
    tenant: str
    job_id: str
    channel: Channel
    sequence: int
    body: bytes
    final: bool
    tries: int
    next_at_ms: int
    created_ms: int
    follows_accepted: bool = False
    """An earlier row of this job and channel was delivered: its receiver knew the job."""
    epoch: int = 0
    """Counts the leases of this row; guards what the holder writes of it."""
    lease_until_ms: int = 0
