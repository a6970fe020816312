"""SageMaker: its API and S3 in memory over HTTP, answers that lag, instances that fail, spot capacity that goes."""

import os
import signal
from contextlib import AbstractContextManager, AsyncExitStack
from typing import Any, ClassVar
from unittest import mock

from faults.launchers.engine import Engine, Ground, Plants
from faults.launchers.engines.memory_s3 import MemoryS3
from faults.launchers.engines.plants import usual
from faults.launchers.process import Files, Process
from support.sagemaker import FakeSageMaker
from support.sagemaker.host import Host, Loss
from support.sagemaker.job import TrainingJob
from support.sagemaker.server import Manner
from tunegate.launchers.sagemaker import SageMakerLauncher
from tunegate.launchers.sagemaker.settings import SageMakerSettings
from tunegate.sdk.launcher import LauncherContext

BUCKET = "operator"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
GRACE_S = 120.0
"""Between SIGTERM and SIGKILL, as Amazon has it."""
ASKS = frozenset({"DescribeTrainingJob", "ListTrainingJobs"})


class ProgramHost:
    """The container is a `Process`."""

    def __init__(self, ground: Ground, job: str, number: int) -> None:
        self.stream = f"{job}/algo-{number}-1700000000"
        self.lines = [(1_700_000_000_000, "the trainer said this")]
        self._ground = ground
        self._files: Files = {}
        self._process: Process | None = None
        self._loss: Loss = "lost"

    @property
    def taken(self) -> Loss | None:
        return self._loss if self._process is not None and self._process.lost else None

    def give(self, channel: str, files: dict[str, bytes]) -> None:
        self._files = files

    async def start(self, request: dict[str, Any]) -> None:
        self._loss = "interrupt" if self._ground.weather.happens(0.5) else "lost"
        self._process = Process(self._ground.program, self._files)

    async def wait(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        if self._process is not None:
            self._process.kill() if number is signal.SIGKILL else self._process.term()

    def failure(self) -> str:
        return ""


class ProgramAccount:
    def __init__(self, ground: Ground, s3: MemoryS3) -> None:
        self._ground = ground
        self._s3 = s3

    def new_host(self, job: str, number: int, count: int) -> Host:
        return ProgramHost(self._ground, job, number)

    async def objects(self, uri: str) -> dict[str, bytes]:
        """As they are now; what is taken away meanwhile was never seen."""
        place = uri.removeprefix("s3://")
        return {
            name.removeprefix(place): content
            for name, content in self._s3.objects.items()
            if name.startswith(place)
        }


class SageMakerInWeather(FakeSageMaker):
    def __init__(self, ground: Ground, s3: MemoryS3) -> None:
        super().__init__(ProgramAccount(ground, s3), grace_s=GRACE_S)
        self.now_s = lambda: ground.clock.now_ms() / 1000
        self._ground = ground
        self._born_s: dict[str, float] = {}

    def _new_job(self, body: dict[str, Any]) -> TrainingJob:
        self._born_s[body["TrainingJobName"]] = self._ground.now_s()
        self._pause_s = self._ground.weather.between(0.1, 20)
        return super()._new_job(body)

    async def _manner(self, operation: str, body: dict[str, Any]) -> Manner | None:
        weather = self._ground.weather
        strike = await weather.strike()
        if strike.kind == "refused":
            return "throttle" if strike.status == 429 else "503"
        if strike.kind == "fine":
            return "stale" if operation in ASKS and self._is_unseen(body) else None
        words: dict[str, Manner] = {"cut": "drop", "cut after": "drop after", "fails after": "503 after"}  # fmt: skip
        return words[strike.kind]

    def _is_unseen(self, body: dict[str, Any]) -> bool:
        """A job is shown a while after it was made; a list may leave out everything."""
        born_s = self._born_s.get(body.get("TrainingJobName", ""), self._ground.now_s())
        return self._ground.weather.stale_s() > self._ground.now_s() - born_s


def starts_twice() -> AbstractContextManager[object]:
    """Each run is started twice, the second time where nobody looks."""
    real = ProgramHost.start

    async def start(self: ProgramHost, request: dict[str, Any]) -> None:
        await real(self, request)
        Process(self._ground.program, self._files)

    return mock.patch.object(ProgramHost, "start", start)


class SageMakerEngine(Engine):
    """No training job and no object is there when all is over."""

    name = "sagemaker"
    replaces = True
    PLANTS: ClassVar[Plants] = usual(SageMakerLauncher, starts_twice)

    async def start(self, ground: Ground) -> None:
        self._stack = AsyncExitStack()
        self._stack.enter_context(mock.patch.dict(os.environ, KEYS))
        self._s3 = await self._stack.enter_async_context(MemoryS3(ground.weather))
        self._api = await self._stack.enter_async_context(SageMakerInWeather(ground, self._s3))

    async def close(self) -> None:
        await self._stack.aclose()

    def launcher(self, context: LauncherContext) -> SageMakerLauncher:
        settings = SageMakerSettings(
            role_arn="arn:aws:iam::123456789012:role/trainer",
            s3_prefix=f"s3://{BUCKET}/gateway/",
            spot=True,
            endpoint_url=self._api.url,
            logs_endpoint_url=self._api.url,
            s3_endpoint_url=self._s3.url,
            s3_path_style=True,
        )
        return SageMakerLauncher(settings, context)

    def left(self) -> list[str]:
        return [*self._api.jobs, *self._s3.objects]
