"""Attempts that are killed: started, watched through their journal, ended with SIGKILL at a chosen moment."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONPATH": f"{TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    "TQDM_DISABLE": "1",
}
POLL_S = 0.001
LIMIT_S = 120.0


@dataclass(frozen=True)
class Moment:
    """The `count`-th time that a line of the journal begins with `line`, and so many seconds later."""

    line: str
    count: int
    after_s: float


class Zygote:
    """An async context manager; one attempt at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "faults.trainer.zygote"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
        )
        assert await self._answer() == "ready"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def attempt(self, asked: dict[str, Any], kill_at: Moment | None) -> int:
        """Run it until it ends or the moment has come; gives its exit code, -9 when it was killed."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        pid = int((await self._answer()).removeprefix("pid "))
        ended = asyncio.ensure_future(self._answer())
        try:
            if kill_at is not None and await _has_come(Path(asked["journal"]), kill_at, ended):
                with contextlib.suppress(ProcessLookupError):  # it ended in this very moment
                    os.kill(pid, signal.SIGKILL)
            status = await asyncio.wait_for(ended, LIMIT_S)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        return int(status.removeprefix("status "))

    async def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()


async def _has_come(journal: Path, moment: Moment, ended: asyncio.Future[str]) -> bool:
    while not ended.done():
        lines = journal.read_text().splitlines() if journal.exists() else []
        if sum(line.startswith(moment.line) for line in lines) >= moment.count:
            await asyncio.sleep(moment.after_s)
            return not ended.done()
        await asyncio.sleep(POLL_S)
    return False
