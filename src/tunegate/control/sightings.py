"""What was seen of each run, and since when. In memory only: after a restart the looks, and the waits, begin anew."""

from dataclasses import dataclass

from tunegate.sdk.launcher import FINISHED, RunState, RunStatus


@dataclass(slots=True)
class Sighting:
    """Times in ms since 1970, None = not seen."""

    absent_since_ms: int | None = None
    ended_since_ms: int | None = None
    cancelled_ms: int | None = None

    def note(self, status: RunStatus, now_ms: int) -> None:
        """Take one answer of the engine; an answer to the contrary clears what was seen before."""
        absent, ended = status.state is RunState.ABSENT, status.state in FINISHED
        self.absent_since_ms = (self.absent_since_ms or now_ms) if absent else None
        self.ended_since_ms = (self.ended_since_ms or now_ms) if ended or absent else None


class Sightings:
    """By run name."""

    def __init__(self) -> None:
        self._runs: dict[str, Sighting] = {}

    def of(self, run_name: str) -> Sighting:
        return self._runs.setdefault(run_name, Sighting())

    def forget(self, run_name: str) -> None:
        self._runs.pop(run_name, None)
