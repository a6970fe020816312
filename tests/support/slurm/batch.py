"""One batch job: its states as the controller has them, and bash, which runs its script."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

KILLED = 137


@dataclass
class Batch:
    """`states` are Slurm's words: the base first, then flags."""

    number: int
    job: dict[str, Any]
    """Of the request, as it came."""
    script: str
    env: Mapping[str, str]
    submitted_s: int
    states: tuple[str, ...] = ("PENDING",)
    reason: str = ""
    code: int | None = None
    signal: int = 0
    _process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        return self.job["name"]

    @property
    def comment(self) -> str:
        return self.job.get("comment", "")

    @property
    def user(self) -> str:
        return "trainer"

    @property
    def folder(self) -> Path:
        return Path(self.job["current_working_directory"])

    @property
    def cpus(self) -> int:
        return self.job["cpus_per_task"] * self.job["tasks"]

    @property
    def is_waiting(self) -> bool:
        return self.states[0] == "PENDING"

    @property
    def is_over(self) -> bool:
        return self.states[0] not in ("PENDING", "RUNNING") and len(self.states) == 1

    async def start(self, spool: Path) -> None:
        """Raises OSError where the output can't be opened."""
        script = spool / f"{self.number}.sh"
        script.write_text(self.script)
        with Path(self.job["standard_output"]).open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                "/bin/bash", str(script),
                cwd=self.folder, env={**self.env, "SLURM_JOB_ID": str(self.number)}, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    async def wait(self) -> int:
        """Its exit code as a shell has it; what it left behind goes with it."""
        assert self._process is not None
        code = await self._process.wait()
        self.send(Signals.SIGKILL)
        return code if code >= 0 else 128 - code

    async def destroy(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self.send(Signals.SIGKILL)
            await self._process.wait()

    def send(self, number: Signals) -> None:
        """To the script and everything that it started."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
