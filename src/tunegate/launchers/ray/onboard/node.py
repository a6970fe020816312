"""One node's share of a run: lays the files, starts the program, hands on what it says, ends it. An actor of Ray.

The standard library only. Part of the driver's program: see the package.
"""

import fnmatch
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64decode
from pathlib import Path, PurePosixPath
from typing import Any

CHUNK_BYTES = 32 * 1024
CHUNKS = 32
READ_S = 0.5
"""So long a read waits for something to be said."""
DRAIN_S = 2.0
"""After the program's end: for what it said last, where somebody else holds its output open."""
WATCH = """\
import os, shutil, signal, sys
group, folder = int(sys.argv[1]), sys.argv[2]
sys.stdin.buffer.read()  # ends with the actor, however that ends
try:
    os.killpg(group, signal.SIGKILL)
except OSError:
    pass
shutil.rmtree(folder, ignore_errors=True)
"""


class Node:
    """Methods are called from several threads."""

    def address(self) -> "tuple[str, int]":
        """Where rank 0 may listen."""
        from ray.util import get_node_ip_address  # pyright: ignore[reportMissingImports]

        with socket.socket() as probe:
            probe.bind(("", 0))
            return get_node_ip_address(), probe.getsockname()[1]

    def start(self, plan: "dict[str, Any]", files: "dict[str, str]", place: "dict[str, str]") -> "str | None":  # fmt: skip
        """Start the program; why that can't be, else None. `files` holds base64 by path, `place` who this node is."""
        self._code: int | None = None
        self._ended_at = 0.0
        self._memory_kills = memory_kills()
        self._folder = tempfile.mkdtemp(prefix="tunegate-", dir=plan["work_dir"])
        folder, work = os.path.join(self._folder, "files"), os.path.join(self._folder, "work")
        for path in (folder, work):
            os.mkdir(path, 0o700)
        for name, content in files.items():
            lay(folder, name, b64decode(content))
        put = {"{files}": folder, "{work}": work}
        env = {name: fill(value, put) for name, value in plan["env"].items()}
        cpus = str(min(plan["threads"], os.cpu_count() or 1))
        argv = [fill(part, put) for part in plan["argv"]]
        argv[0] = argv[0] or sys.executable
        try:
            self._program = subprocess.Popen(  # noqa: S603  an argument list that the backend made
                argv,
                cwd=work,
                env={**passed_on(plan["pass_env"]), "OMP_NUM_THREADS": cpus, **env, **place},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            return str(error.strerror)
        self._watcher = subprocess.Popen(  # noqa: S603  our own
            [sys.executable, "-I", "-S", "-c", WATCH, str(self._program.pid), self._folder],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._said: queue.Queue[bytes] = queue.Queue(CHUNKS)
        self._silent = threading.Event()
        for work_of in (self._listen, self._wait):
            threading.Thread(target=work_of, daemon=True).start()
        return None

    def read(self) -> "tuple[bytes, int | None]":
        """What was said since, and the exit code once all is said: 128 and the signal's number where one ended it."""
        try:
            return self._said.get(timeout=READ_S), None
        except queue.Empty:
            pass
        late = self._code is not None and time.monotonic() > self._ended_at + DRAIN_S
        return b"", self._code if self._said.empty() and (self._silent.is_set() or late) else None

    def stop(self, grace_s: float) -> None:
        """Ask it to end, kill it after `grace_s`. A second call may be more impatient."""
        if grace_s > 0:
            self._signal(signal.SIGTERM)
        timer = threading.Timer(grace_s, self._signal, (signal.SIGKILL,))
        timer.daemon = True
        timer.start()

    def killed_for_memory(self) -> bool:
        """Whether this node's container killed something for its memory since the start."""
        return memory_kills() > self._memory_kills

    def sweep(self) -> None:
        """Nothing of the run stays on the node."""
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()
        self._watcher.wait()

    def _listen(self) -> None:
        output = self._program.stdout
        while output is not None and (chunk := output.read1(CHUNK_BYTES)):  # pyright: ignore[reportAttributeAccessIssue]
            self._said.put(chunk)
        self._silent.set()

    def _wait(self) -> None:
        # Not reaped before its group is killed: the group's number can't go to somebody else.
        os.waitid(os.P_PID, self._program.pid, os.WEXITED | os.WNOWAIT)
        self._signal(signal.SIGKILL)
        code = self._program.wait()
        self._ended_at = time.monotonic()
        self._code = code if code >= 0 else 128 - code

    def _signal(self, number: signal.Signals) -> None:
        if self._code is None:
            try:
                os.killpg(self._program.pid, number)
            except OSError:
                return


def lay(folder: str, name: str, content: bytes) -> None:
    """A 0600 file within the folder."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError("a file lies outside its folder")
    path = Path(folder, *relative.parts)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def fill(text: str, values: "dict[str, str]") -> str:
    """`text` with folders in the place of their names."""
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def passed_on(patterns: "list[str]") -> "dict[str, str]":
    """The node's own variables that a run gets."""
    return {
        name: value
        for name, value in os.environ.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def memory_kills() -> int:
    """Of this container, as its cgroup counts them."""
    try:
        lines = Path("/sys/fs/cgroup/memory.events").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, ValueError):
        return 0
