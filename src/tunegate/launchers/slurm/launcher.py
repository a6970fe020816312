"""`SlurmLauncher`: runs are batch jobs of a cluster.

Slurm has no unique names, and uses its numbers again. So a run is its folder and the jobs that bear its name, its digest
and a time of submission that fits; of several the batch script lets one start the program, and the others are cancelled.
"""

import asyncio
import getpass
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from weakref import WeakValueDictionary

import msgspec

from tunegate.contract.base import Strict
from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.secret import REDACTED
from tunegate.launchers.slurm.api import SlurmApi
from tunegate.launchers.slurm.commands import SlurmCommands, submission
from tunegate.launchers.slurm.folder import RunFolder, RunRecord, Stop, View, names_in
from tunegate.launchers.slurm.job import MARK
from tunegate.launchers.slurm.logs import follow_log
from tunegate.launchers.slurm.options import SlurmOptions
from tunegate.launchers.slurm.request import digest, is_capped, job_request
from tunegate.launchers.slurm.review import review_run
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.launchers.slurm.states import is_over, is_waiting
from tunegate.launchers.slurm.verdict import Found, begun_and_waiting, find, ours, status
from tunegate.sdk.launcher import (
    FINISHED,
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

T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
Look = tuple[View | None, Found]


class SlurmLauncher(Launcher):
    """By commands or by slurmrestd. All waiting is Slurm's own; `poll` carries out what is due (a kill after its grace)."""

    name = "slurm"
    description = "Batch jobs of a Slurm cluster"
    settings_type: ClassVar[type[msgspec.Struct]] = SlurmSettings
    options_type: ClassVar[type[Strict]] = SlurmOptions

    def __init__(
        self, settings: SlurmSettings, context: LauncherContext, api: SlurmApi | None = None
    ) -> None:
        if settings.shared_dir is None:
            raise ValueError("set launchers.slurm.shared_dir: gateway and nodes share files there")
        if settings.api == "rest" and settings.rest_url is None:
            raise ValueError("set launchers.slurm.rest_url: the address of slurmrestd")
        self._settings = settings
        self._clock = context.clock
        self._shared = Path(settings.shared_dir)
        self._user = settings.user or getpass.getuser()
        self._api = api or _new_api(settings, self._user, context)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._odd_since_s: dict[str, float] = {}

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
        request = job_request(run, self._settings, self._folder(run.name).path)
        body = {
            "argv": ["sbatch", *submission(request, f"{request.folder}/batch.sh")],
            "script": request.script.splitlines(),
            "env": request.env,
            "files": sorted(public_files(run) | secret_files(run)),
            "claim_token": REDACTED,
        }
        return NativeRequest(kind="sbatch", body=body)

    async def start(self) -> None:
        await self._api.start()

    async def close(self) -> None:
        await self._api.close()

    async def submit(self, run: Run) -> None:
        if not _NAME.fullmatch(run.name):
            raise LaunchRefused("the run's name is not one of at most 63 of a-z, 0-9 and -")
        problems, _ = self.review(run.container, run.options)
        if problems:
            raise LaunchRefused(problems[0].message)
        async with self._lock(run.name):
            await self._submit(run)

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        if not names:
            return {}
        looks = await self._look(names)
        forgotten = [name for name, (view, found) in looks.items() if _is_forgotten(view, found)]
        if forgotten:
            looks |= await self._ask_accounting({name: looks[name] for name in forgotten})
        statuses = {name: self._status(name, *look) for name, look in looks.items()}
        for name, look in looks.items():
            await self._carry_out(*look, statuses[name])
        return statuses

    async def cancel(self, name: str, grace_s: float) -> None:
        view, found = (await self._look([name]))[name]
        if self._status(name, view, found).state in OVER:
            return
        if view is not None:
            kill_at_ms = self._clock.now_ms() + int(max(0.0, grace_s) * 1000)
            if view.stop is not None:
                kill_at_ms = min(kill_at_ms, view.stop.kill_at_ms)
            await _disk(lambda: self._folder(name).write_stop(Stop(kill_at_ms=kill_at_ms)))
        job = found.job
        if job is None:
            return
        if is_waiting(job.states) or grace_s <= 0:
            await self._api.kill(job)

    async def cleanup(self, name: str) -> None:
        async with self._lock(name):
            jobs = await self._api.jobs([name])
            view = await _disk(self._folder(name).view)
            living = [j for j in ours(jobs, name, view, self._user) if not is_over(j.states)]
            if view is not None and living:
                await _disk(self._folder(name).mark_removing)
            for job in living:
                await self._api.kill(job)
            if view is not None and not living:
                await _disk(self._folder(name).remove)
            self._odd_since_s.pop(name, None)

    async def list_runs(self) -> list[str]:
        """Those with a folder, and living jobs of ours without one: what a lost answer left."""
        names, leaving = await _disk(lambda: names_in(self._shared))
        jobs = await self._api.jobs(None)
        living = {
            job.name
            for job in jobs
            if job.user == self._user and job.comment.startswith(MARK) and not is_over(job.states)
        }
        gone = leaving - living
        for name in gone:
            await self.cleanup(name)
        return sorted((names | living) - gone)

    def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        async def is_over_now() -> bool:
            return (await self.poll([name]))[name].state in OVER

        return follow_log(
            self._folder(name).log, offset, self._clock, is_over_now if follow else None
        )

    async def _submit(self, run: Run) -> None:
        """Create once: whoever finds a job, or a sign that there was one, takes that."""
        view, found = (await self._look([run.name]))[run.name]
        if view is not None and (found.job is not None or _was_there(view)):
            await self._adopt(run.name, view, found)
            return
        now_ms = self._clock.now_ms()
        if (
            view is not None
            and now_ms < view.record.tried_ms + self._settings.unknown_wait_s * 1000
        ):
            raise EngineUnavailable("whether Slurm took the job is not known yet")
        folder = self._folder(run.name)
        request = job_request(run, self._settings, folder.path)
        record = RunRecord(
            name=run.name,
            digest=digest(run),
            created_ms=now_ms if view is None else view.record.created_ms,
            tried_ms=now_ms,
            capped=is_capped(run, self._settings),
        )
        files = public_files(run) | secret_files(run)
        await _disk(lambda: folder.prepare(record, files, request.script))
        try:
            job_id = await self._api.submit(request)
        except LaunchRefused:
            await _disk(folder.remove)
            raise
        except EngineUnavailable:
            view, found = (await self._look([run.name]))[run.name]
            if view is None or found.job is None:
                raise
            await self._adopt(run.name, view, found)
            return
        await _disk(lambda: folder.write_record(msgspec.structs.replace(record, job_id=job_id)))

    async def _adopt(self, name: str, view: View, found: Found) -> None:
        for job in found.surplus:
            await self._api.kill(job)
        if found.job is not None and view.record.job_id != found.job.job_id:
            record = msgspec.structs.replace(view.record, job_id=found.job.job_id)
            await _disk(lambda: self._folder(name).write_record(record))

    async def _look(self, names: Sequence[str]) -> dict[str, Look]:
        """Folders after jobs: what a job wrote before Slurm said that it was over is seen."""
        jobs = await self._api.jobs(names)
        views = await _disk(lambda: {name: self._folder(name).view() for name in names})
        return {
            name: (view, find(ours(jobs, name, view, self._user), view))
            for name, view in views.items()
        }

    async def _ask_accounting(self, looks: dict[str, Look]) -> dict[str, Look]:
        since_s = min(view.record.created_ms for view, _ in looks.values() if view) // 1000
        jobs = await self._api.accounted(list(looks), since_s)
        told: dict[str, Look] = {}
        for name, (view, _) in looks.items():
            over = [job for job in ours(jobs, name, view, self._user) if is_over(job.states)]
            told[name] = (view, find(over, view))
        return told

    def _status(self, name: str, view: View | None, found: Found) -> RunStatus:
        job = found.job
        if view is None or (job is not None and not begun_and_waiting(view, job)):
            self._odd_since_s.pop(name, None)
            return status(name, view, job, believed=True)
        now_s = self._clock.monotonic_s()
        odd_s = now_s - self._odd_since_s.setdefault(name, now_s)
        return status(name, view, job, believed=odd_s >= self._settings.lost_after_s)

    async def _carry_out(self, view: View | None, found: Found, said: RunStatus) -> None:
        """What is due: surplus jobs, a stop whose grace is over, a job that came back into the queue."""
        try:
            for job in found.surplus:
                await self._api.kill(job)
            job = found.job
            if view is None or job is None or is_over(job.states):
                return
            overdue = view.stop is not None and self._clock.now_ms() >= view.stop.kill_at_ms
            unwanted = said.state in FINISHED or view.removing
            if overdue or unwanted or (view.stop is not None and is_waiting(job.states)):
                await self._api.kill(job)
        except EngineUnavailable:
            return  # the next look tries again; what was seen stands

    def _folder(self, name: str) -> RunFolder:
        return RunFolder(self._shared / name)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _new_api(settings: SlurmSettings, user: str, context: LauncherContext) -> SlurmApi:
    if settings.api == "rest":
        from tunegate.launchers.slurm.rest import SlurmRest  # aiohttp is for this way alone

        return SlurmRest(settings, user, context.clock)
    return SlurmCommands(settings, user)


def _was_there(view: View) -> bool:
    return view.record.job_id is not None or view.started or view.stop is not None


def _is_forgotten(view: View | None, found: Found) -> bool:
    return view is not None and found.job is None and view.exit_code is None and _was_there(view)


async def _disk(work: Callable[[], T]) -> T:
    """Network file systems are slow: never on the event loop."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise EngineUnavailable(f"the shared folder can't be used: {error.strerror}") from error
