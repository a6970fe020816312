"""ONE table: what docker and podman say of a container → our states, codes and sentences. Pure."""

import re
import signal

import msgspec

from tunegate.contract.base import Wire
from tunegate.sdk.launcher import RunState, RunStatus

_S, _R = RunState.STARTING, RunState.RUNNING

ALIVE: dict[str, tuple[RunState, str]] = {
    "created": (_S, "its container is being started"),
    "configured": (_S, "its container is being started"),
    "initialized": (_S, "its container is being started"),
    "running": (_R, ""),
    "restarting": (_R, "the engine starts it again"),
    "paused": (_R, "somebody paused its container; it goes on when it is unpaused"),
    "stopping": (_R, "its container is being stopped"),
    "removing": (_R, "its container is being removed"),
}
"""docker: created, running, paused, restarting, removing, exited, dead. podman: configured, initialized, stopping, stopped too."""
FRESH = frozenset({"created", "configured", "initialized"})
"""Was never started."""
OVER = frozenset({"exited", "stopped", "dead"})

STOPS: dict[str, tuple[RunState, str | None, str]] = {
    "cancel": (RunState.STOPPED, None, "stopped, as asked"),
    "deadline": (RunState.FAILED, "deadline_exceeded", "stopped: its time was used up"),
}
"""Why the launcher ended it: state, code of the catalogue, sentence."""

ENDS: dict[int, tuple[str, str]] = {
    125: ("launch_failed", "the engine could not start its program"),
    126: ("launch_failed", "its command can't be executed in the image"),
    127: ("launch_failed", "its command is not there in the image"),
    137: ("killed", "ended by SIGKILL: perhaps its memory did not suffice, perhaps somebody killed it"),
    143: ("interrupted", "ended by SIGTERM, which the gateway did not send"),
    255: ("run_lost", "the engine or the machine was started anew"),
}  # fmt: skip
"""Exit codes that are not a program's own: code of the catalogue, sentence. All others are the trainer's."""
_SIGNALLED = 128
GONE = RunStatus(
    name="",
    state=RunState.FAILED,
    native_state="gone",
    failure="run_lost",
    reason="its container was removed, which the gateway did not do",
)
_FOR_GOOD = re.compile(
    r"executable file not found|command that was not found|no such file or directory|permission denied"
    r"|device driver|unable to find user|no matching entries in passwd|network .*not found|unknown runtime"
    r"|unresolvable CDI|bind source path does not exist|no such image|image not known",
    re.IGNORECASE,
)
"""What engines say with a 500 that will not pass by itself."""


class State(msgspec.Struct, frozen=True, rename="pascal"):
    """`State` of an inspected container."""

    status: str = ""
    exit_code: int | None = None
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")
    error: str = ""


class Stop(Wire):
    """stop.json: the launcher's wish that a run end. `cause`: cancel or deadline."""

    cause: str
    kill_at_ms: int


class End(Wire):
    """end.json: a run that never had a container."""

    reason: str


def status_of(name: str, state: State, stop: Stop | None) -> RunStatus:
    """The status of a run that has a container."""
    said = state.status.lower()
    if said in OVER:
        return _ended(name, state, stop)
    if stop is not None and said in FRESH:
        return stopped(name, stop)
    found, reason = ALIVE.get(said, (_R, f"the engine says {said!r}, which this launcher does not know"))  # fmt: skip
    if stop is not None and found is _R:
        reason = "it is being stopped"
    return RunStatus(name=name, state=found, native_state=said, reason=reason)


def stopped(name: str, stop: Stop) -> RunStatus:
    """The status of a run that was stopped before it began."""
    state, failure, reason = STOPS[stop.cause]
    return RunStatus(name=name, state=state, failure=failure, reason=reason)


def is_for_good(message: str) -> bool:
    """Whether an engine's trouble with a container would be the same again."""
    return bool(_FOR_GOOD.search(message))


def failed(name: str, reason: str) -> RunStatus:
    """The status of a run that the engine would not start."""
    return RunStatus(name=name, state=RunState.FAILED, failure="launch_failed", reason=reason)


def _ended(name: str, state: State, stop: Stop | None) -> RunStatus:
    code = state.exit_code
    found, failure, reason = _verdict(state, code, stop)
    native = f"{state.status.lower()}/{code}" + ("/OOMKilled" if state.oom_killed else "")
    return RunStatus(
        name=name, state=found, native_state=native, reason=reason, exit_code=code, failure=failure
    )


def _verdict(state: State, code: int | None, stop: Stop | None) -> tuple[RunState, str | None, str]:
    if stop is not None and stop.cause in STOPS:
        return STOPS[stop.cause]
    if state.oom_killed and code != 0:
        return RunState.FAILED, "out_of_memory", "the memory that the job asked for did not suffice"
    if state.status.lower() == "dead":
        return RunState.FAILED, "run_lost", "the engine could not remove its container"
    if state.error and code not in (0, None):
        return RunState.FAILED, "launch_failed", f"the engine could not start it: {state.error}"
    if code == 0:
        return RunState.SUCCEEDED, None, "left with exit code 0"
    if code in ENDS:
        failure, reason = ENDS[code]
        return RunState.FAILED, failure, reason
    if code is not None and code > _SIGNALLED and (name := _signal_name(code - _SIGNALLED)):
        return RunState.FAILED, "killed", f"ended by {name}"
    return RunState.FAILED, None, f"left with exit code {code}"


def _signal_name(number: int) -> str | None:
    try:
        return signal.Signals(number).name
    except ValueError:
        return None
