"""What /proc tells of processes and of this boot."""

import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def boot_id() -> str:
    """Changes with every boot of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def is_alive(pid: int, start_ticks: int) -> bool:
    """Whether this very process lives: its number alone may have gone to another one."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    if fields[0] in {"Z", "X"}:
        _reap(pid)
        return False
    return int(fields[19]) == start_ticks


def _reap(pid: int) -> None:
    """Where the gateway is process 1 of a container, orphans become its children."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def processes_with_env(name: str, value: str) -> list[int]:
    """Processes of this user that were started with the variable."""
    wanted = f"{name}={value}".encode()
    found: list[int] = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
