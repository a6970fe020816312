"""Starts one run, watches over it and writes down how it ended: `python supervisor.py RUN_FOLDER`.

It is run by its path, uses the standard library only and leaves the gateway's session at once, so that a gateway that
is killed, restarted or upgraded changes nothing for the run. What the gateway wants to say lies in the folder.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TICK_S = 0.2
PR_SET_PDEATHSIG = 1
WAKING = (signal.SIGCHLD, signal.SIGTERM)


def main(folder: Path) -> int:
    """Go into the background; the foreground leaves once the run is on its way (or need not be)."""
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        return 0 if os.read(ready, 1) else 1
    os.close(ready)
    os.setsid()
    with (folder / "supervisor.lock").open("w") as lock:
        if _is_ours(folder, lock.fileno()):
            supervise(folder, tell)
        else:
            os.write(tell, b".")
    return 0


def _is_ours(folder: Path, lock: int) -> bool:
    """A run is started once: the lock tells of a living supervisor, the files of one that was."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return not any((folder / name).exists() for name in ("supervisor.json", "exit.json"))


def supervise(folder: Path, tell: int) -> None:
    """From the first word to the last."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
    write_json(folder / "supervisor.json", whoami())
    os.write(tell, b".")
    os.close(tell)
    run = json.loads((folder / "run.json").read_text())
    if read_stop(folder) is not None:
        write_exit(folder, cause="cancel")
        return
    try:
        child = subprocess.Popen(  # noqa: S603  an argument list that the backend made
            run["argv"],
            cwd=folder / "files",
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  this process has one thread
        )
    except OSError as error:
        write_exit(folder, error=f"the command could not be started: {error.strerror}")
        return
    cause = watch(folder, child, run["max_duration_s"], run["grace_s"])
    _signal_group(child.pid, signal.SIGKILL)  # what the run left behind goes with it
    code = child.wait()
    ended_by = -code if code < 0 else None
    write_exit(folder, exit_code=None if code < 0 else code, signal_number=ended_by, cause=cause)


def watch(
    folder: Path, child: "subprocess.Popen[bytes]", max_duration_s: float, grace_s: float
) -> str | None:
    """Wait for the end; returns why we stopped the run, or None when it ended by itself."""
    deadline = time.monotonic() + max_duration_s
    kill_at, cause, terminated = float("inf"), None, False
    while not _has_ended(child.pid):
        now, asked = time.monotonic(), read_stop(folder)
        if cause is None:
            cause = _cause(asked is not None, terminated, now >= deadline)
            if cause is not None:
                _signal_group(child.pid, signal.SIGTERM)
                kill_at = now + (grace_s if asked is None else asked)
        if asked is not None:  # a second wish may be more impatient than the first
            kill_at = min(kill_at, now + asked)
        if now >= kill_at:
            _signal_group(child.pid, signal.SIGKILL)
        caught = signal.sigtimedwait(WAKING, TICK_S)
        terminated = terminated or (caught is not None and caught.si_signo == signal.SIGTERM)
    return cause


def _cause(asked: bool, terminated: bool, late: bool) -> str | None:
    if asked:
        return "cancel"
    if terminated:
        return "signal"
    return "deadline" if late else None


def _has_ended(pid: int) -> bool:
    """The child stays unreaped, so that its number, which is its group's too, can't go to somebody else."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, options) is not None


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def read_stop(folder: Path) -> float | None:
    """Seconds of grace, once the gateway wants the run to end."""
    try:
        return float(json.loads((folder / "stop.json").read_text())["grace_s"])
    except FileNotFoundError:
        return None


def whoami() -> dict[str, Any]:
    """What tells this process from a later one of the same number."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": os.getpid(), "start_ticks": int(fields[19]), "boot_id": boot}


def write_exit(
    folder: Path,
    *,
    exit_code: int | None = None,
    signal_number: int | None = None,
    cause: str | None = None,
    error: str | None = None,
) -> None:
    """The last word of a run."""
    verdict = {"exit_code": exit_code, "signal": signal_number, "cause": cause, "error": error}
    write_json(folder / "exit.json", verdict)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all, and on disk before this returns."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def command(python: str, folder: Path) -> Sequence[str]:
    """The argument list that starts a supervisor: isolated, without site packages."""
    return (python, "-I", "-S", str(Path(__file__).resolve()), str(folder))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
