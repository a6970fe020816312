"""Exit codes. Scripts may rely on them; `docs/CLI.md` has this table."""

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """How a command ended; the values never change their meaning."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        made = int.__new__(cls, value)
        made._value_ = value
        made.meaning = meaning
        return made

    OK = 0, "it was done"
    FAILED = 1, "it could not be done, or something was found to be wrong"
    USAGE = 2, "the command line, the settings or a file can't be used"
    INVALID = 3, "the request must be mended; the problems are listed"
    DENIED = 4, "no token, or one that may not do this"
    NOT_FOUND = 5, "no such job, token, backend or route"
    CONFLICT = 6, "the job's state, or another job, is in the way"
    UNAVAILABLE = 7, "the gateway could not be reached, or was too busy; the same again may work"
    JOB_FAILED = 8, "the job that was watched failed"
    JOB_CANCELLED = 9, "the job that was watched was cancelled"
    INTERRUPTED = 130, "stopped by Ctrl-C; a job that was submitted goes on"


def of_status(status: str) -> ExitCode:
    """For a job that is over."""
    return {"failed": ExitCode.JOB_FAILED, "cancelled": ExitCode.JOB_CANCELLED}.get(
        status, ExitCode.OK
    )
