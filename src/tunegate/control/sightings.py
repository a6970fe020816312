"""What is noted of a run, and since when. It stands in the attempt's record: gateways take turns with a job, and what one
of them remembered would not know what the others have seen since.
"""

from tunegate.control.records import AttemptRecord
from tunegate.sdk.launcher import FINISHED, RunState, RunStatus


def sighted(attempt: AttemptRecord, run: RunStatus, now_ms: int) -> dict[str, int | None]:
    """The fields of the attempt that one answer of its engine changes; an answer to the contrary clears them.

    A run that vanished and one that ended are told apart: only after the answer "ended" was noted does the next look read
    every event that the trainer can have sent.
    """
    absent, ended = run.state is RunState.ABSENT, run.state in FINISHED
    noted = {
        "absent_since_ms": (attempt.absent_since_ms or now_ms) if absent else None,
        "ended_since_ms": (attempt.ended_since_ms or now_ms) if ended else None,
    }
    return {field: at_ms for field, at_ms in noted.items() if getattr(attempt, field) != at_ms}
