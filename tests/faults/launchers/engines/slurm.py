"""Slurm: slurmrestd in memory, lists that are old, numbers that come again; bash runs the launcher's real batch scripts."""

import asyncio
import contextvars
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.process import Process
from support.slurm import Slurmrestd
from support.slurm.bin import install
from tunegate.launchers.slurm import SlurmLauncher
from tunegate.launchers.slurm import script as batch
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.launcher import EngineUnavailable, LauncherContext, LaunchRefused

SNAPSHOT_S = 1.0
OLDEST = 20
CPUS = 40
MIN_JOB_AGE_S = 120.0
VERSIONS = (38, 41)
_STEP = """\
#!/bin/bash
# The program lives in the campaign; this is its process.
trap 'kill -TERM "$reader" 2>/dev/null' TERM
exec 3<>/dev/tcp/127.0.0.1/{port} || exit 1
echo $$ >"$0.$SLURM_JOB_ID"
echo "{what} $SLURM_JOB_ID" >&3
trap 'echo term >&3' TERM
(trap '' TERM; read -r code <&3; exit "${{code:-137}}") &
reader=$!
while wait "$reader"; kill -0 "$reader" 2>/dev/null; do :; done
wait "$reader"
exit $?
"""
"""A line says for which job, `term` that SIGTERM came; the answer is the exit code."""


class Node:
    """Where the batch scripts' steps really are: `Process`es, told to the bash processes that stand for them."""

    def __init__(self, ground: Ground, slurm: Slurmrestd) -> None:
        self._ground = ground
        self._slurm = slurm
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[Any]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def program(self, files: Path) -> Process:
        laid = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
        return Process(self._ground.program, laid)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            what, number = (await reader.readline()).decode().split()
            code = await (self._run if what == "run" else self._watch)(int(number), reader)
            writer.write(b"%d\n" % code)
            await writer.drain()
        except (ConnectionError, ValueError):
            pass  # its shell was killed
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _run(self, number: int, reader: asyncio.StreamReader) -> int:
        process = self.program(self._slurm.jobs[number].folder / "files")
        listening = asyncio.get_running_loop().create_task(
            self._hear(reader, process), context=contextvars.Context()
        )
        code = await process.wait()
        listening.cancel()
        if process.lost:
            self._slurm.fail_node(number, requeue=self._ground.weather.happens(0.3))
        return code

    async def _hear(self, reader: asyncio.StreamReader, process: Process) -> None:
        with suppress(ConnectionError):
            while await reader.readline():
                process.term()
        process.kill()

    async def _watch(self, number: int, reader: asyncio.StreamReader) -> int:
        """The script's `sleep` between two looks for a wish to stop: it lasts until there is something to see."""
        stop = self._slurm.jobs[number].folder / "stop.json"
        while not stop.exists() and not reader.at_eof():  # noqa: ASYNC110
            await asyncio.sleep(1.0)
        return 0


def forgets_cleanup() -> AbstractContextManager[object]:
    return mock.patch.object(SlurmLauncher, "cleanup", mock.AsyncMock())


def gives_up_at_trouble() -> AbstractContextManager[object]:
    """Whatever goes wrong on the way is taken for a refusal of the run."""
    real = SlurmLauncher.submit

    async def submit(*args: Any) -> None:
        try:
            await real(*args)
        except EngineUnavailable as error:
            raise LaunchRefused(str(error)) from error

    return mock.patch.object(SlurmLauncher, "submit", submit)


def starts_whatever_comes() -> AbstractContextManager[object]:
    """A batch script does not ask whether another has the run already."""
    return mock.patch.object(batch, "_HEAD", batch._HEAD.replace("|| exit 78\nprintf", "\nprintf"))


class SlurmEngine(Engine):
    """No job is alive and no folder is there when all is over."""

    name = "slurm"
    PLANTS: ClassVar[Plants] = {
        "left in the engine": forgets_cleanup,
        "launch_failed": gives_up_at_trouble,
        "was started": starts_whatever_comes,
    }

    async def start(self, ground: Ground) -> None:
        self._ground = ground
        self._shared = ground.folder / "shared"
        version = VERSIONS[ground.weather.happens(0.5)]
        self._slurm = slurm = Slurmrestd(ground.folder / "spool", version=version, cpus=CPUS)
        slurm.trouble, slurm.boot, slurm.shown = self._trouble, self._boot, self._shown
        slurm.kill_wait_s, slurm.min_job_age_s = 30.0, MIN_JOB_AGE_S
        slurm.numbers, slurm.now_s = self._number, lambda: ground.clock.now_ms() / 1000
        self._lists: list[list[dict[str, Any]]] = []
        self._node = Node(ground, slurm)
        port = await self._node.start()
        step, sleep = (_STEP.format(port=port, what=what) for what in ("run", "watch"))
        self._bin = install(ground.folder / "bin", srun=step, sleep=sleep)
        await slurm.__aenter__()
        self._photographer = asyncio.create_task(self._photograph())

    async def close(self) -> None:
        self._photographer.cancel()
        await asyncio.gather(self._photographer, return_exceptions=True)
        await self._slurm.__aexit__()
        await self._node.close()

    def launcher(self, context: LauncherContext) -> SlurmLauncher:
        settings = SlurmSettings(
            shared_dir=str(self._shared), api="rest", rest_url=self._slurm.url, user="trainer",
            path=f"{self._bin}:/usr/bin:/bin",
        )  # fmt: skip
        return SlurmLauncher(settings, context)

    def left(self) -> list[str]:
        alive = [batch.name for batch in self._slurm.jobs.values() if not batch.is_over]
        folders = self._shared.iterdir() if self._shared.exists() else ()
        return [*alive, *(f"folder {path.name}" for path in folders)]

    def _number(self) -> int:
        """The lowest that no listed job has."""
        return next(number for number in range(1, 10**6) if number not in self._slurm.jobs)

    async def _boot(self) -> None:
        await asyncio.sleep(self._ground.weather.between(0.1, 10))

    def _shown(self) -> list[dict[str, Any]]:
        back = round(self._ground.weather.stale_s() / SNAPSHOT_S)
        return self._lists[-back] if 0 < back <= len(self._lists) else self._slurm.now_shown()

    async def _photograph(self) -> None:
        while True:
            self._lists = [*self._lists[-OLDEST:], self._slurm.now_shown()]
            await asyncio.sleep(SNAPSHOT_S)

    async def _trouble(self, _method: str, _path: str) -> str | int | None:
        strike = await self._ground.weather.strike()
        words = {"fine": None, "refused": strike.status, "cut": "cut", "cut after": "cut after", "fails after": "after"}  # fmt: skip
        return words[strike.kind]
