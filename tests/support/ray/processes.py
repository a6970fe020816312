"""Runs the jobs of a cluster in memory as processes of this machine."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from support.ray.server import Job, Runner


class Processes(Runner):
    """Each job has a folder below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._alive: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, job: Job) -> None:
        room = self._folder / job.submission_id
        for path in ("files", "work"):
            (room / path).mkdir(parents=True)
        for path, content in job.files.items():
            (room / "files" / path).parent.mkdir(parents=True, exist_ok=True)
            (room / "files" / path).write_bytes(content)
        argv = [_here(one, room) for one in job.plan["argv"]]
        argv[0] = argv[0] or sys.executable
        env = {name: _here(text, room) for name, text in job.plan["env"].items()}
        job.said = (room / "log").read_bytes
        with (room / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *argv, env={**env, "PATH": os.environ["PATH"]}, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._alive[job.submission_id] = process
        self._spawn(self._follow(job, process))
        if job.asked:
            self.stop(job, 0.0)

    def stop(self, job: Job, grace_s: float) -> None:
        process = self._alive.get(job.submission_id)
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            self._spawn(self._kill(process, grace_s))

    async def close(self) -> None:
        for process in self._alive.values():
            _end(process)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, job: Job, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        _end(process)
        del self._alive[job.submission_id]
        job.end(128 - code if code < 0 else code)

    async def _kill(self, process: asyncio.subprocess.Process, in_s: float) -> None:
        await asyncio.sleep(in_s)
        if process.returncode is None:
            _end(process)

    def _spawn(self, work: object) -> None:
        task = asyncio.create_task(work)  # pyright: ignore[reportArgumentType]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _here(text: str, room: Path) -> str:
    return text.replace("{files}", str(room / "files")).replace("{work}", str(room / "work"))
