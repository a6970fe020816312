"""How often a job is tried again, by what ended its attempts. Pure."""

from enum import StrEnum

from tunegate.control.records import JobRecord
from tunegate.control.settings import ControlSettings


class Trouble(StrEnum):
    """What can pass, each with a budget of its own: one kind does not use up the tries of another."""

    PREEMPTION = "preemption"
    """Somebody with a better right took the place; the job did nothing wrong, and goes on from its checkpoint."""
    MEMORY = "memory"
    """The engine killed the run for its memory; the next attempt makes smaller forward passes."""
    INFRASTRUCTURE = "infrastructure"
    """A lost node, a store out of reach, a kill that nobody explains."""


_KINDS = {"interrupted": Trouble.PREEMPTION, "memory_exceeded": Trouble.MEMORY}


def trouble_of(code: str) -> Trouble:
    """The kind of a retryable failure."""
    return _KINDS.get(code, Trouble.INFRASTRUCTURE)


def may_try_again(job: JobRecord, code: str, settings: ControlSettings) -> bool:
    """Whether the budget for this kind of trouble is not used up."""
    match trouble_of(code):
        case Trouble.PREEMPTION:
            return job.preemptions < settings.preemption_retries
        case Trouble.MEMORY:
            return job.memory_kills < settings.memory_retries
        case Trouble.INFRASTRUCTURE:
            return job.retries_left > 0


def spend(job: JobRecord, code: str) -> dict[str, int]:
    """The job's fields after one try more for this trouble."""
    match trouble_of(code):
        case Trouble.PREEMPTION:
            return {"preemptions": job.preemptions + 1}
        case Trouble.MEMORY:
            return {"memory_kills": job.memory_kills + 1}
        case Trouble.INFRASTRUCTURE:
            return {"retries_left": job.retries_left - 1}
