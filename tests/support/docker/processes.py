"""Runs the containers of an engine in memory as processes of this machine."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from support.docker.server import Container, Runner


class Processes(Runner):
    """Paths of the container's volume are folders below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._alive: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, container: Container) -> None:
        room = self._folder / container.id[:12]
        for path in ("files", "work"):
            (room / path).mkdir(parents=True, exist_ok=True)
        for path, content in container.files.items():
            (room / path).parent.mkdir(parents=True, exist_ok=True)
            (room / path).write_bytes(content)
        argv = [self._here(one, room) for one in (*container.request["Entrypoint"], *container.request["Cmd"])]  # fmt: skip
        argv[0] = sys.executable if argv[0] == "python" else argv[0]
        env = dict(self._here(one, room).split("=", 1) for one in container.request["Env"])
        container.said = (room / "log").read_bytes
        with (room / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *argv, env={**env, "PATH": os.environ["PATH"]}, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._alive[container.id] = process
        task = asyncio.create_task(self._follow(container, process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def signal(self, container: Container, name: str) -> None:
        process = self._alive.get(container.id)
        if process is None:
            return
        with suppress(ProcessLookupError):
            if name == "SIGKILL":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.send_signal(signal.Signals[name])

    async def close(self) -> None:
        for process in self._alive.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, container: Container, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        del self._alive[container.id]
        container.exit_code = 128 - code if code < 0 else code
        container.state = "exited"

    def _here(self, text: str, room: Path) -> str:
        return text.replace("/tunegate/files", str(room / "files")).replace("/tunegate/work", str(room / "work"))  # fmt: skip
