"""What `lifecycle.decide` can ask for: one small value each."""

from typing import Literal

from tunegate.contract.base import Wire
from tunegate.contract.job import JobError
from tunegate.control.records import JobState, StopReason


class Wait(Wire, tag_field="kind", tag="wait"):
    """Nothing to do before `until_ms`; `reason` is shown as the job's `queue_reason`."""

    until_ms: int
    reason: str | None = None


class Absorb(Wire, tag_field="kind", tag="absorb"):
    """Store the effect of the folded events and look again: more of them wait."""


class Launch(Wire, tag_field="kind", tag="launch"):
    """Store the intent of a new attempt; the engine is called once that is on disk."""

    number: int
    resume: bool


class Submit(Wire, tag_field="kind", tag="submit"):
    """Hand the run to the engine, which knows none of this name."""


class Move(Wire, tag_field="kind", tag="move"):
    """Go forward to a state that is not an end."""

    state: JobState
    phase: str
    detail: str
    reason: str | None = None


class Stop(Wire, tag_field="kind", tag="stop"):
    """Record that the run is to be stopped; the engine is asked once that is on disk."""

    reason: StopReason


class CancelRun(Wire, tag_field="kind", tag="cancel_run"):
    """Ask the engine to stop the run."""


class VerifyManifest(Wire, tag_field="kind", tag="verify_manifest"):
    """Check the manifest that the trainer speaks of, then decide anew."""


class Recover(Wire, tag_field="kind", tag="recover"):
    """Close the attempt; another one follows."""

    error: JobError


class Finish(Wire, tag_field="kind", tag="finish"):
    """End the job for good."""

    state: Literal[JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]
    detail: str
    error: JobError | None = None


class CleanUp(Wire, tag_field="kind", tag="clean_up"):
    """Keep the log of the closed attempt, then remove the engine's object."""


class DestroySecrets(Wire, tag_field="kind", tag="destroy_secrets"):
    """Nothing needs these sealed fields any more; nothing else to do before `until_ms`."""

    fields: list[str]
    until_ms: int


Action = (
    Wait | Absorb | Launch | Submit | Move | Stop | CancelRun | VerifyManifest | Recover | Finish
    | CleanUp | DestroySecrets
)  # fmt: skip
