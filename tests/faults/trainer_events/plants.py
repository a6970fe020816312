"""Bugs to plant in the way of the trainer's words: each must be seen."""

from collections.abc import Sequence

from tunegate.contract.attempt import SequencedEvent
from tunegate.control.fold import Folded, fold
from tunegate.control.records import AttemptRecord, JobRecord


def _gaps_skipped(
    job: JobRecord, attempt: AttemptRecord, events: Sequence[SequencedEvent]
) -> Folded:
    """What is there is folded; what comes later is not."""
    folded = Folded(job, attempt)
    for item in events:
        folded.add(item)
    folded.close()
    return folded


def _words_after_the_last(
    job: JobRecord, attempt: AttemptRecord, events: Sequence[SequencedEvent]
) -> Folded:
    """An attempt that has had its last word goes on talking."""
    folded = fold(job, attempt, events)
    if folded.attempt.outcome is not None:
        for item in events:
            if item.sequence > folded.attempt.outcome.sequence:
                folded._take(item)  # pyright: ignore[reportPrivateUsage]
        folded.close()
    return folded


def _doubles_count(
    job: JobRecord, attempt: AttemptRecord, events: Sequence[SequencedEvent]
) -> Folded:
    """A word that was sent twice is heard twice."""
    folded = Folded(job, attempt)
    for item in events:
        if item.sequence == folded.attempt.folded_through + 1:
            folded.add(item)
            folded.add(item)
    folded.close()
    return folded


PLANTS = {
    "gaps skipped": _gaps_skipped,
    "words after the last": _words_after_the_last,
    "doubles count": _doubles_count,
}
"""In the place of `looking.fold`."""
