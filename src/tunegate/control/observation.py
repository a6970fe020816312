"""What the reconciler knows of a job at one moment: the whole input of `lifecycle.decide`."""

from tunegate.contract.attempt import ManifestFile, SucceededEvent, TrainerEvent
from tunegate.contract.base import Wire
from tunegate.control.records import AttemptRecord, JobRecord, StopReason
from tunegate.control.settings import ControlSettings
from tunegate.sdk.launcher import RunStatus


class ManifestVerdict(Wire):
    """Whether the result is complete, and its files; `problem` is one sentence for people when it is not."""

    problem: str | None = None
    files: list[ManifestFile] = []
    denied: bool = False
    """The problem is that it may not be looked at: training once more would not help."""

    @property
    def valid(self) -> bool:
        return self.problem is None


class Observation(Wire):
    """What was seen outside the store at one look."""

    run: RunStatus | None = None
    """The engine's answer; None when there was nothing to ask, or no answer."""
    trouble: str | None = None
    """Why the engine gave no answer."""
    noted: dict[str, int | None] = {}
    """What the answer changes in the attempt's record; `Situation.attempt` has it already."""
    manifest: ManifestVerdict | None = None
    more_events: bool = False
    """Trainer events remain that this look has not folded."""
    pending_deliveries: int = 0
    replayable_finals: int = 0
    """Final webhooks that were given up, and may still be sent again."""


class Situation(Wire):
    """A job, its current attempt (with the new trainer events folded in) and what was seen."""

    job: JobRecord
    attempt: AttemptRecord | None
    seen: Observation
    now_ms: int
    settings: ControlSettings

    @property
    def used_ms(self) -> int:
        """Running time of all attempts; waiting in a queue costs nothing."""
        attempt = self.attempt
        if attempt is None or attempt.claimed_ms is None or attempt.ended_ms is not None:
            return self.job.used_ms
        return self.job.used_ms + max(0, self.now_ms - attempt.claimed_ms)

    @property
    def remaining_ms(self) -> int:
        return self.job.budget_ms - self.used_ms

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the job is to stop, if it is."""
        if self.job.desired == "stop":
            return self.job.stop_reason or "cancel"
        return "deadline" if self.remaining_ms <= 0 else None

    @property
    def last_word(self) -> TrainerEvent | None:
        """The trainer's final event: succeeded, failed or stopped."""
        if self.attempt is None or self.attempt.outcome is None:
            return None
        return self.attempt.outcome.event

    @property
    def says_succeeded(self) -> bool:
        return isinstance(self.last_word, SucceededEvent)

    @property
    def trusts_exit_code(self) -> bool:
        """The program need not claim, speak or write a manifest: its engine's word and its exit code decide."""
        return self.job.container.protocol == "kubeflow"

    def within(self, since_ms: int | None, delay_s: float) -> bool:
        """Whether `since_ms` is known and less than `delay_s` ago."""
        return since_ms is not None and self.now_ms - since_ms < delay_s * 1000
