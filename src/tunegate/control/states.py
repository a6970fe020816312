"""Which state may follow which. Final states absorb: only a client's retry, a new beginning, leaves them."""

from tunegate.control.records import JobState

_Q, _L, _P = JobState.QUEUED, JobState.LAUNCHING, JobState.PENDING
_S, _R, _U = JobState.STARTING, JobState.RUNNING, JobState.UPLOADING
_AGAIN, _STOP = JobState.RECOVERING, JobState.STOPPING
_OK, _BAD, _OFF = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED

ALLOWED: dict[JobState, frozenset[JobState]] = {
    _Q: frozenset({_L, _BAD, _OFF}),
    _L: frozenset({_P, _S, _R, _U, _STOP, _BAD}),
    _P: frozenset({_S, _R, _U, _AGAIN, _STOP, _BAD}),
    _S: frozenset({_R, _U, _AGAIN, _STOP, _BAD}),
    _R: frozenset({_U, _AGAIN, _STOP, _OK, _BAD}),
    _U: frozenset({_AGAIN, _STOP, _OK, _BAD}),
    _AGAIN: frozenset({_L, _BAD, _OFF}),
    _STOP: frozenset({_OK, _BAD, _OFF}),
    _OK: frozenset(),
    _BAD: frozenset(),
    _OFF: frozenset(),
}

PROGRESSION = (_L, _P, _S, _R, _U)
"""The way of one attempt. Steps may be skipped, none is taken back: an engine that requeues a run moves no job back."""


class IllegalTransition(Exception):
    """A bug: the state does not allow that one to follow."""


def check(before: JobState, after: JobState) -> None:
    """Raises IllegalTransition unless `after` may follow `before`."""
    if after not in ALLOWED[before]:
        raise IllegalTransition(f"{before} -> {after}")


def furthest(one: JobState, other: JobState) -> JobState:
    """The later of two states of the progression."""
    return max(one, other, key=PROGRESSION.index)
