"""The protocol between a trainer and the gateway: claim once, then push numbered events."""

from typing import Annotated, Literal

from msgspec import Meta

from tunegate.contract.base import Wire
from tunegate.contract.training import TrainerSecrets

EventText = Annotated[str, Meta(max_length=4000)]


class ClaimRequest(Wire):
    """`POST /internal/attempts/{attempt_id}/claim`, bearer = the attempt's token. The same `run_uid` may claim again."""

    run_uid: Annotated[str, Meta(min_length=8, max_length=128)]


class ClaimGrant(Wire):
    """The winner's answer. `fence` must stand in the manifest; `resume` asks for the newest valid checkpoint."""

    fence: int
    attempt: int
    resume: bool
    remaining_s: float
    secrets: TrainerSecrets
    memory_kills: int = 0
    """Attempts before this one that were killed for their memory: forward passes are to be halved so many times."""


class PhaseEvent(Wire, tag_field="kind", tag="phase"):
    """The trainer entered a phase: preparing, training, evaluating, saving, uploading."""

    phase: Annotated[str, Meta(max_length=40)]
    detail: EventText


class ProgressEvent(Wire, tag_field="kind", tag="progress"):
    """How far: optimizer steps, epochs, tokens seen, seconds left."""

    step: int
    total_steps: int
    epoch: float
    tokens: int
    tokens_per_s: float
    eta_s: float | None = None


class MetricsEvent(Wire, tag_field="kind", tag="metrics"):
    """Numbers of one step: loss, learning_rate, grad_norm, eval_loss, …. Finite values only."""

    step: int
    values: Annotated[dict[str, float], Meta(max_length=64)]
    latest: bool = False
    """The values are the newest of each name, measured at this step or before: what was told already is left out."""


class NoteEvent(Wire, tag_field="kind", tag="note"):
    """Something the client should know; it joins the job's `notes`."""

    text: EventText


class IgnoredEvent(Wire, tag_field="kind", tag="ignored"):
    """A request field that turned out to have no effect; it joins the job's `ignored`."""

    path: Annotated[str, Meta(max_length=300)]
    reason: EventText


class CheckpointEvent(Wire, tag_field="kind", tag="checkpoint"):
    """A resumable checkpoint is complete at `uri`."""

    step: int
    uri: str
    size_bytes: int


class SucceededEvent(Wire, tag_field="kind", tag="succeeded"):
    """All is written; the manifest at `manifest_uri` has this SHA-256 (hex)."""

    manifest_uri: str
    manifest_sha256: str
    detail: EventText
    metrics: dict[str, float] = {}


class FailedEvent(Wire, tag_field="kind", tag="failed"):
    """The attempt failed: a code of the catalogue, one sentence, and what to do."""

    code: Annotated[str, Meta(max_length=64)]
    detail: EventText


class StoppedEvent(Wire, tag_field="kind", tag="stopped"):
    """The attempt was asked to stop and left a resumable checkpoint (or none yet)."""

    detail: EventText
    checkpoint_step: int | None = None


class HeartbeatEvent(Wire, tag_field="kind", tag="heartbeat"):
    """Still there."""


TrainerEvent = (
    PhaseEvent | ProgressEvent | MetricsEvent | NoteEvent | IgnoredEvent | CheckpointEvent
    | SucceededEvent | FailedEvent | StoppedEvent | HeartbeatEvent
)  # fmt: skip


class SequencedEvent(Wire):
    """An event with its number (from 1, no gaps) and the trainer's clock in ms since 1970."""

    sequence: Annotated[int, Meta(ge=1)]
    at_ms: int
    event: TrainerEvent


class EventBatch(Wire):
    """`POST /internal/attempts/{attempt_id}/events`."""

    run_uid: str
    events: Annotated[list[SequencedEvent], Meta(min_length=1, max_length=500)]


class EventReceipt(Wire):
    """All events up to `accepted_through` are durable; `stop` asks the trainer to save and leave."""

    accepted_through: int
    stop: Literal["cancel", "deadline", "superseded"] | None = None


class ManifestFile(Wire):
    """One file below the manifest's folder."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(Wire):
    """manifest.json, written last: the result is complete when it is there and its files verify."""

    job_id: str
    attempt: int
    fence: int
    created_at: str
    files: list[ManifestFile]
    version: int = 1
