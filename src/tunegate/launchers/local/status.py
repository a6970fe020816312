"""How a local run ended, in the words of the launcher interface. Pure."""

import signal

from tunegate.launchers.local.folder import Exit
from tunegate.sdk.launcher import RunState, RunStatus

_STOPS: dict[str, tuple[RunState, str | None, str]] = {
    "cancel": (RunState.STOPPED, None, "stopped, as asked"),
    "deadline": (RunState.FAILED, "deadline_exceeded", "stopped: its time was used up"),
    "signal": (RunState.FAILED, "interrupted", "stopped by the machine"),
    "lost": (RunState.FAILED, "killed", "its supervisor was killed"),
    "reboot": (RunState.FAILED, "run_lost", "the machine was started anew"),
}
"""Cause of an end that the run did not choose: state, code of the catalogue, sentence."""


def ended(name: str, end: Exit) -> RunStatus:
    """The final status of a run."""
    code = end.exit_code
    if end.error is not None:
        state, failure, reason = RunState.FAILED, "launch_failed", end.error
    elif end.cause is not None:
        state, failure, reason = _STOPS[end.cause]
    elif end.signal is not None:
        state, failure = RunState.FAILED, "killed"
        reason = f"ended by {_name(end.signal)}"
    else:
        state = RunState.FAILED if code else RunState.SUCCEEDED
        failure, reason = None, f"left with exit code {code}"
    native = f"signal {end.signal}" if end.signal is not None else f"exit {code}"
    return RunStatus(
        name=name, state=state, native_state=native, reason=reason, exit_code=code, failure=failure
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
