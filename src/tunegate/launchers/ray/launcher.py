"""`RayLauncher`: runs are jobs of Ray's Jobs API, by the run's name.

The job itself is a small driver, which waits for the run's nodes and starts the program there: Ray takes a job that can't
be placed for failed after a quarter of an hour, and can't stop it before.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import msgspec

from tunegate.contract.base import Strict
from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.secret import REDACTED
from tunegate.launchers.ray.client import Group, RayClient, RayJob, Taken
from tunegate.launchers.ray.logs import follow_log, read_log
from tunegate.launchers.ray.options import RayOptions
from tunegate.launchers.ray.render import (
    DIGEST,
    INSTANCE,
    digest,
    package,
    parcel_of,
    plan_of,
    submission,
)
from tunegate.launchers.ray.review import review_run
from tunegate.launchers.ray.settings import RaySettings
from tunegate.launchers.ray.verdict import is_over, status
from tunegate.sdk.launcher import (
    OVER,
    Capabilities,
    EngineUnavailable,
    Launcher,
    LauncherContext,
    LaunchRefused,
    NativeRequest,
    Run,
    RunStatus,
)
from tunegate.sdk.run_files import public_files, secret_files

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class RayLauncher(Launcher):
    """All waiting is in the cluster; a look at it is one list of jobs, and one of what the running ones wait for."""

    name = "ray"
    description = "Jobs of a Ray cluster"
    settings_type: ClassVar[type[msgspec.Struct]] = RaySettings
    options_type: ClassVar[type[Strict]] = RayOptions

    def __init__(self, settings: RaySettings, context: LauncherContext) -> None:
        if settings.address is None:
            raise ValueError("set launchers.ray.address: the address of the cluster's dashboard")
        self._settings = settings
        self._clock = context.clock
        self._client = RayClient(settings)
        self._leaving: set[str] = set()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            multi_node=self._settings.max_nodes != 1,
            gpus=self._settings.gpus_per_node,
            queue_depth=self._settings.queue_depth,
        )

    def review(
        self, container: ContainerSpec, options: dict[str, Any]
    ) -> tuple[list[Problem], list[Ignored]]:
        return review_run(container, options, self._settings)

    def render(self, run: Run) -> NativeRequest:
        body = {
            "job": submission(run, self._settings),
            "plan": msgspec.to_builtins(plan_of(run, self._settings)),
            "files": sorted(public_files(run) | secret_files(run)),
            "claim_token": REDACTED,
        }
        return NativeRequest(kind="ray job", body=body)

    async def close(self) -> None:
        await self._client.close()

    async def submit(self, run: Run) -> None:
        if not _NAME.fullmatch(run.name):
            raise LaunchRefused("the run's name is not one of at most 63 of a-z, 0-9 and -")
        problems, _ = self.review(run.container, run.options)
        if problems:
            raise LaunchRefused(problems[0].message)
        if await self._is_there(run):
            return
        await self._client.put(package(run.name), parcel_of(run, self._settings))
        try:
            await self._client.submit(submission(run, self._settings))
        except Taken:
            await self._is_there(run)
        except EngineUnavailable:
            # Ray takes a name once: if this job comes late after all, a second try finds it or is told that it is there.
            if not await self._is_there(run):
                raise

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        if not names:
            return {}
        jobs = await self._jobs()
        asked = {name: jobs.get(name) for name in names}
        groups = await self._groups(asked)
        return {
            name: status(name, None if await self._is_removed(name, job) else job, groups)
            for name, job in asked.items()
        }

    async def cancel(self, name: str, grace_s: float) -> None:
        job = await self._client.job(name)
        if job is None or not self._is_ours(job) or is_over(job):
            return
        note = msgspec.json.encode({"grace_s": max(0.0, grace_s)})
        await self._client.put(package(name, "stop"), note)
        await self._client.stop(name)

    async def cleanup(self, name: str) -> None:
        """A run that lives is stopped first; whoever looks at it next finds it over, and removes it."""
        job = await self._client.job(name)
        if job is None or not self._is_ours(job):
            self._leaving.discard(name)
            return
        self._leaving.add(name)
        if is_over(job):
            await self._is_removed(name, job)
        else:
            await self.cancel(name, 0.0)

    async def list_runs(self) -> list[str]:
        jobs = await self._jobs()
        return sorted([name for name, job in jobs.items() if not await self._is_removed(name, job)])

    def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        async def is_over_now() -> bool:
            return (await self.poll([name]))[name].state in OVER

        if not follow:
            return read_log(self._client, name, offset)
        return follow_log(self._client, name, offset, self._clock, is_over_now)

    async def _is_there(self, run: Run) -> bool:
        """Whether the run has its job. Raises LaunchRefused where its name is somebody else's."""
        job = await self._client.job(run.name)
        if job is None:
            return False
        if not self._is_ours(job) or job.said(DIGEST) != digest(run):
            raise LaunchRefused(f"Ray has a job {run.name} that is not this run")
        return True

    async def _is_removed(self, name: str, job: RayJob | None) -> bool:
        """Ray forgets only jobs that are over, so one that is to go may have to be waited for."""
        if name not in self._leaving:
            return False
        if job is not None:
            if not is_over(job):
                return False
            await self._client.delete(name)
        self._leaving.discard(name)
        return True

    async def _jobs(self) -> dict[str, RayJob]:
        """Those of this gateway, by name."""
        listed = await self._client.jobs()
        return {
            job.submission_id: job for job in listed if job.submission_id and self._is_ours(job)
        }

    async def _groups(self, jobs: dict[str, RayJob | None]) -> dict[str, Group]:
        """Only running ones have any. Without them it is not known why a run waits, and that is all."""
        if not any(job is not None and job.status == "RUNNING" for job in jobs.values()):
            return {}
        with suppress(EngineUnavailable):
            return {group.name: group for group in await self._client.groups()}
        return {}

    def _is_ours(self, job: RayJob) -> bool:
        return job.said(INSTANCE) == self._settings.instance
