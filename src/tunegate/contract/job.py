"""The job as clients see it, its events and lists."""

from typing import Any

from tunegate.contract.base import Wire
from tunegate.contract.problems import Ignored
from tunegate.contract.request import Status

TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


class JobError(Wire):
    """Why a job failed: stable `code`, who can mend it (user, infra, gateway), one sentence, and advice."""

    code: str
    origin: str
    message: str
    advice: str
    retryable: bool


class Progress(Wire):
    """`percent` 0-100 of the optimizer steps; `loss` the latest one seen."""

    step: int
    total_steps: int
    percent: float
    epoch: float
    tokens: int
    tokens_per_s: float
    eta_s: float | None = None
    loss: float | None = None
    eval_loss: float | None = None


class Job(Wire):
    """`GET /train/{job_id}`. Times are RFC 3339 in UTC."""

    job_id: str
    backend_job_id: str
    backend: str
    launcher: str
    status: Status
    phase: str
    detail: str
    dashboard_url: str | None
    created_at: str
    updated_at: str
    progress: Progress | None
    error: JobError | None
    output_uri: str
    log_uri: str | None
    ignored: list[Ignored]
    notes: list[str]
    metadata: dict[str, str]
    attempt: int = 0
    queue_position: int | None = None
    """About: 1 = the next to be launched, tenants taking turns."""
    queue_reason: str | None = None
    """Why it does not run yet."""


class JobPage(Wire):
    """A page of jobs, newest first."""

    data: list[Job]
    has_more: bool


class JobEvent(Wire):
    """One line of a job's log: numbered from 1, in order, never changed."""

    sequence: int
    type: str
    """job.status, job.phase, job.progress, job.metrics, job.note, job.ignored, job.checkpoint, job.artifact"""
    status: Status
    phase: str
    detail: str
    attempt: int
    timestamp: str
    data: dict[str, Any] = {}


class EventPage(Wire):
    """A page of events, oldest first."""

    data: list[JobEvent]
    has_more: bool


class WebhookBody(Wire):
    """What `webhook_url` gets. `log` is one line of at most 2 kB that a person can read, never empty."""

    job_id: str
    backend_job_id: str
    status: Status
    phase: str
    detail: str
    log: str
    progress: Progress | None
    error: JobError | None
    attempt: int
    sequence: int
    timestamp: str


class MetricPoint(Wire):
    """One step's numbers."""

    step: int
    attempt: int
    timestamp: str
    values: dict[str, float]
    sequence: int = 0
    """The number of its event: what came later is behind it, in the series as in the stream."""


class MetricSeries(Wire):
    """`GET /train/{job_id}/metrics`."""

    data: list[MetricPoint]


class StoredFile(Wire):
    """A file of a job's output; `url` is a presigned link where the store has them."""

    path: str
    uri: str
    size_bytes: int
    sha256: str | None = None
    url: str | None = None


class FileList(Wire):
    """`GET /train/{job_id}/artifacts`."""

    data: list[StoredFile]
    complete: bool
    """Whether a verified manifest is there."""


class Checkpoint(Wire):
    """A resumable checkpoint."""

    step: int
    uri: str
    size_bytes: int
    timestamp: str


class CheckpointList(Wire):
    """`GET /train/{job_id}/checkpoints`."""

    data: list[Checkpoint]


class DryRun(Wire):
    """`POST /train?dry_run=true`: nothing stored, nothing launched."""

    backend: str
    launcher: str
    ignored: list[Ignored]
    notes: list[str]
    data: dict[str, Any] | None
    predicted: dict[str, Any] | None
    container: dict[str, Any]
    launcher_request: dict[str, Any]


class Installed(Wire):
    """A backend or launcher in `GET /backends` and `GET /launchers`."""

    name: str
    version: str | None
    distribution: str | None
    description: str
    loaded: bool
    error: str | None = None
    methods: list[str] = []
    providers: list[str] = []
    options_schema: dict[str, Any] = {}
    capabilities: dict[str, Any] = {}


class InstalledList(Wire):
    """`GET /backends`, `GET /launchers`."""

    data: list[Installed]
