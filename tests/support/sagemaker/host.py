"""What training jobs run on: accounts with hosts. Here a folder stands for /opt/ml and a process for the container."""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from support.bucket import open_bucket
from tunegate.sdk.testing.s3_server import S3Server

ML = "/opt/ml"
Loss = Literal["lost", "interrupt"]
"""The instance failed; its spot capacity was taken away."""


class Host(Protocol):
    """One instance of a job. It is started anew after spot capacity came back."""

    stream: str
    lines: list[tuple[int, str]]
    """What the container said: milliseconds, text."""

    @property
    def taken(self) -> Loss | None:
        """How the instance went under its container."""

    def give(self, channel: str, files: dict[str, bytes]) -> None: ...

    async def start(self, request: dict[str, Any]) -> None: ...

    async def wait(self) -> int: ...

    def signal(self, number: signal.Signals, *, group: bool = False) -> None: ...

    def failure(self) -> str:
        """What the container left as its own explanation."""


class Account(Protocol):
    """Where hosts come from, and what lies on S3."""

    def new_host(self, job: str, number: int, count: int) -> Host: ...

    async def objects(self, uri: str) -> dict[str, bytes]:
        """Everything below `uri`, by the rest of its address."""


class LocalAccount:
    """Hosts are processes of this machine."""

    def __init__(self, home: Path, s3: S3Server) -> None:
        self._home = home
        self._s3 = s3

    def new_host(self, job: str, number: int, count: int) -> Host:
        return LocalHost(self._home, job, number, count, self._s3)

    async def objects(self, uri: str) -> dict[str, bytes]:
        async with open_bucket(self._s3) as store:
            found = [info.uri async for info in store.list(uri)]
            return {one.removeprefix(uri): await store.read(one) for one in found}


class LocalHost:
    """`algo-<number>`; here hosts are loopback addresses, as nobody resolves the others."""

    taken: Loss | None = None

    def __init__(self, home: Path, job: str, number: int, count: int, s3: S3Server) -> None:
        self.home = home / job / f"algo-{number}"
        self.name = f"127.0.0.{number}" if count > 1 else "algo-1"
        self.stream = f"{job}/algo-{number}-{int(time.time())}"
        self.lines: list[tuple[int, str]] = []
        self._hosts = [f"127.0.0.{n}" for n in range(1, count + 1)] if count > 1 else ["algo-1"]
        self._job = job
        self._s3 = s3
        self._process: asyncio.subprocess.Process | None = None
        for folder in ("input/config", "input/data", "model", "output", "checkpoints"):
            (self.ml / folder).mkdir(parents=True, exist_ok=True)
        config = {
            "current_host": self.name,
            "hosts": self._hosts,
            "network_interface_name": "lo",
        }
        (self.ml / "input/config/resourceconfig.json").write_text(json.dumps(config))

    @property
    def ml(self) -> Path:
        return self.home / "ml"

    def channel(self, name: str) -> Path:
        return self.ml / "input" / "data" / name

    def own(self, text: str) -> str:
        """Paths of the container, as they are here."""
        return text.replace(ML, str(self.ml)).replace("/tmp/tunegate", str(self.home / "work"))

    def give(self, channel: str, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            target = self.channel(channel) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def failure(self) -> str:
        failure = self.ml / "output" / "failure"
        return failure.read_text() if failure.exists() else ""

    async def start(self, request: dict[str, Any]) -> None:
        algorithm = request["AlgorithmSpecification"]
        argv = [
            self.own(part)
            for part in (
                *algorithm.get("ContainerEntrypoint", ()),
                *algorithm.get("ContainerArguments", ()),
            )
        ]
        script = self.channel("tunegate") / "command.sh"
        if script.exists():
            text = self.own(script.read_text()).replace("exec python ", f"exec {sys.executable} ")
            script.write_text(text)
        if argv[0] == "python":
            argv[0] = sys.executable
        given = {key: self.own(value) for key, value in request.get("Environment", {}).items()}
        self._process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self.home,
            env={
                "PATH": os.environ["PATH"],
                "OMP_NUM_THREADS": "1",
                "TRAINING_JOB_NAME": self._job,
                "SM_INPUT_CONFIG_DIR": str(self.ml / "input/config"),
                "AWS_REGION": self._s3.region,
                "AWS_ACCESS_KEY_ID": self._s3.access_key,  # as the role's, which no test reads
                "AWS_SECRET_ACCESS_KEY": self._s3.secret_key,
                "PYTHONUNBUFFERED": "1",
                **given,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=2**22,
        )

    async def wait(self) -> int:
        """The exit code as a container has it; whatever the process left behind goes with it."""
        process = self._process
        assert process is not None
        reading = asyncio.create_task(self._read(process))
        # asyncio's own wait lasts until the output is closed, which a child of the process may hold open.
        while process.returncode is None:  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0.02)
        self.signal(signal.SIGKILL, group=True)
        code = await process.wait()
        await reading
        return code if code >= 0 else 128 - code

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            if group:
                os.killpg(self._process.pid, number)
            elif self._process.returncode is None:
                self._process.send_signal(number)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            self.lines.append((int(time.time() * 1000), text))
