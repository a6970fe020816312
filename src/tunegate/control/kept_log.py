"""The copy of a run's log that outlives the engine's object."""

from pathlib import Path


def kept_log(state_dir: Path, uid: str, attempt: int) -> Path:
    """Where the log of an attempt is kept after its clean-up."""
    return kept_logs(state_dir, uid) / f"attempt-{attempt}.log"


def kept_logs(state_dir: Path, uid: str) -> Path:
    """The folder of all kept logs of a job."""
    return state_dir / "logs" / uid
