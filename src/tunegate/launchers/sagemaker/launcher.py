"""`SageMakerLauncher`: runs are training jobs. Their containers need not reach the gateway."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import Any, ClassVar

import msgspec

from tunegate.contract.base import Strict
from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.training import StoragePolicy
from tunegate.launchers.sagemaker.instances import choose
from tunegate.launchers.sagemaker.options import SageMakerOptions
from tunegate.launchers.sagemaker.render import (
    REMOVE,
    REQUEST,
    SCRIPT,
    STOP,
    fits_the_api,
    job_name,
    request_of,
    script_of,
)
from tunegate.launchers.sagemaker.review import review_container
from tunegate.launchers.sagemaker.settings import SageMakerSettings
from tunegate.launchers.sagemaker.states import is_open, status_of
from tunegate.sdk.launcher import (
    OVER,
    Capabilities,
    EngineUnavailable,
    Launcher,
    LauncherContext,
    LaunchRefused,
    NativeRequest,
    Run,
    RunState,
    RunStatus,
)
from tunegate.sdk.run_files import public_files, secret_files

PARALLEL = 8
"""Questions at once; the API allows some ten a second."""


class SageMakerLauncher(Launcher):
    """What is known of a run lies on S3 and in SageMaker; nothing here outlives the gateway but what saves calls."""

    name = "sagemaker"
    description = "Training jobs of Amazon SageMaker"
    settings_type: ClassVar[type[msgspec.Struct]] = SageMakerSettings
    options_type: ClassVar[type[Strict]] = SageMakerOptions
    offer_again_s: ClassVar[float] = 15.0
    """How often a run that the account has no room for is offered again."""
    late_s: ClassVar[float] = 3600.0
    """For how long an ended training job is looked for that nobody waits for."""
    look_s: ClassVar[float] = 2.0
    """How often a log that is followed is looked at; CloudWatch takes a few seconds itself."""

    def __init__(self, settings: SageMakerSettings, context: LauncherContext) -> None:
        if find_spec("aioboto3") is None:
            raise RuntimeError("it needs an extra: pip install 'tunegate[sagemaker]'")
        self._settings = settings
        self._clock = context.clock
        self._stack = AsyncExitStack()
        self._slots = asyncio.Semaphore(PARALLEL)
        self._ended: dict[str, RunStatus] = {}
        self._offered_s: dict[str, float] = {}
        self._waits_for: dict[str, str] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(multi_node=True, calls_back=False)

    def review(
        self, container: ContainerSpec, options: dict[str, Any]
    ) -> tuple[list[Problem], list[Ignored]]:
        return review_container(container, options, self._settings)

    def render(self, run: Run) -> NativeRequest:
        return NativeRequest(kind="sagemaker.CreateTrainingJob", body=self._request(run))

    async def start(self) -> None:
        from tunegate.launchers.sagemaker.client import TrainingJobs
        from tunegate.launchers.sagemaker.folders import RunFolders
        from tunegate.launchers.sagemaker.logs import JobLogs
        from tunegate.storage.aws import s3_client, service_client

        settings, enter = self._settings, self._stack.enter_async_context
        policy = _policy(settings)
        jobs = await enter(service_client("sagemaker", policy, settings.endpoint_url))
        logs = await enter(service_client("logs", policy, settings.logs_endpoint_url))
        self._jobs = TrainingJobs(jobs)
        self._folders = RunFolders(await enter(s3_client(policy, None)), settings)
        self._logs = JobLogs(logs, self._clock, self.look_s)

    async def close(self) -> None:
        await self._stack.aclose()

    async def submit(self, run: Run) -> None:
        problems, _ = self.review(run.container, run.options)
        if problems:
            raise LaunchRefused(problems[0].message)
        request = await self._folders.request(run.name)
        if request is None:
            request = self._request(run)
            await self._folders.lay(run.name, _files(run), request)
        await self._offer(run.name, request)

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        statuses = await asyncio.gather(*(self._look(name) for name in names))
        return dict(zip(names, statuses, strict=True))

    async def cancel(self, name: str, grace_s: float) -> None:  # noqa: ARG002  SageMaker's own is 120 s
        if name in self._ended:
            return
        if await self._jobs.describe(self._job(name)) is None:
            if await self._folders.request(name) is None:
                return
            await self._folders.mark(name, STOP)
        # Also one that is not seen yet: a list may lag behind.
        await self._jobs.stop(self._job(name))

    async def claimed(self, name: str) -> None:
        """Of several nodes some may still be fetching: their secret goes with the clean-up."""
        request = await self._folders.request(name)
        if request is not None and request["ResourceConfig"]["InstanceCount"] == 1:
            await self._folders.forget_secrets(name)

    async def cleanup(self, name: str) -> None:
        await self._folders.forget_secrets(name)
        there = await self._jobs.describe(self._job(name))
        if there is not None and is_open(there):
            if await self._folders.request(name) is not None:
                await self._folders.mark(name, REMOVE)
            await self._jobs.stop(self._job(name))
        else:
            await self._remove(name)

    async def list_runs(self) -> list[str]:
        """Ended jobs too, unless they are to stay in the list: a create may arrive long after it was given up."""
        prefix = self._settings.name_prefix
        kept = self._settings.keep_records
        since_s = None if kept else self._clock.now_ms() / 1000 - self.late_s
        jobs = await self._jobs.names(prefix, since_s)
        return sorted({*(one.removeprefix(prefix) for one in jobs), *await self._folders.names()})

    def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        async def is_over() -> bool:
            status = (await self.poll([name]))[name]
            return status.state in OVER

        return self._logs.read(self._job(name), offset, is_over if follow else None)

    async def _look(self, name: str) -> RunStatus:
        if name in self._ended:
            return self._ended[name]
        async with self._slots:
            answer = await self._jobs.describe(self._job(name))
            if answer is None:
                return await self._waiting(name)
            status = status_of(name, answer)
            if is_open(answer):
                return status
            marks = await self._folders.marks(name)
            if REMOVE in marks:
                await self._remove(name)
            if REQUEST not in marks or REMOVE in marks:
                return RunStatus(name=name, state=RunState.ABSENT)
            self._ended[name] = status
            return status

    async def _waiting(self, name: str) -> RunStatus:
        """A run that SageMaker does not have (yet): the account's quota is used up, or its answers lag."""
        marks = await self._folders.marks(name)
        if STOP in marks:
            return RunStatus(name=name, state=RunState.STOPPED, reason="stopped before it began")
        request = await self._folders.request(name) if REQUEST in marks else None
        if request is None:
            return RunStatus(name=name, state=RunState.ABSENT)
        last_s = self._offered_s.get(name)
        try:
            if last_s is None or self._clock.monotonic_s() - last_s >= self.offer_again_s:
                await self._offer(name, request)
        except LaunchRefused as error:
            return RunStatus(
                name=name, state=RunState.FAILED, failure="launch_failed", reason=str(error)
            )
        reason = self._waits_for.get(name, "it was handed over; SageMaker does not show it yet")
        return RunStatus(name=name, state=RunState.PENDING, reason=reason)

    async def _offer(self, name: str, request: dict[str, Any]) -> None:
        """Create the training job; without room in the account the run waits here."""
        from tunegate.launchers.sagemaker.trouble import QuotaUsedUp

        self._offered_s[name] = self._clock.monotonic_s()
        try:
            await self._jobs.create(request)
        except QuotaUsedUp as error:
            self._waits_for[name] = f"the account's quota is used up: {error}"
        except EngineUnavailable:
            self._offered_s.pop(name)
            raise
        else:
            self._waits_for.pop(name, None)

    async def _remove(self, name: str) -> None:
        await self._folders.remove(name)
        if not self._settings.keep_records:
            await self._jobs.delete(self._job(name))
        for known in (self._ended, self._offered_s, self._waits_for):
            known.pop(name, None)

    def _request(self, run: Run) -> dict[str, Any]:
        options = msgspec.convert(run.options, SageMakerOptions)
        instance = choose(run.container, options, self._settings)
        if isinstance(instance, Problem):
            raise LaunchRefused(instance.message)
        return request_of(run, options, instance, self._settings)

    def _job(self, name: str) -> str:
        return job_name(self._settings, name)


def _files(run: Run) -> dict[str, bytes]:
    script = {} if fits_the_api(run) else {SCRIPT: script_of(run)}
    return {**public_files(run), **script, **secret_files(run)}


def _policy(settings: SageMakerSettings) -> StoragePolicy:
    """Private addresses: within a cloud network the services' own names lead to some."""
    endpoints = (settings.endpoint_url, settings.logs_endpoint_url, settings.s3_endpoint_url)
    return StoragePolicy(
        allow_ambient_credentials=True,
        allow_private_addresses=True,
        allow_http=any((one or "").startswith("http://") for one in endpoints),
        s3_region=settings.region,
        s3_endpoint_url=settings.s3_endpoint_url,
        s3_path_style=settings.s3_path_style,
    )
