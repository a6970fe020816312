"""`ContainerLauncher`: runs are containers of docker or podman on the gateway's own host."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.secret import REDACTED
from tunegate.launchers.container.client import ApiError, Engine, Listed
from tunegate.launchers.container.images import Images
from tunegate.launchers.container.lock import HostLock
from tunegate.launchers.container.logs import frames, skip
from tunegate.launchers.container.machine import look
from tunegate.launchers.container.names import IDENTITY, INSTANCE, NAME, identity
from tunegate.launchers.container.render import ROOM, create_request, room, with_grant
from tunegate.launchers.container.runs import due, sooner
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.launchers.container.sockets import find_socket
from tunegate.launchers.container.states import (
    GONE,
    End,
    State,
    Stop,
    failed,
    is_for_good,
    status_of,
    stopped,
)
from tunegate.launchers.container.waiting import Begun, Folders, View
from tunegate.launchers.local.fit import demand_of, review_resources
from tunegate.launchers.local.queue import Grant, plan, sentence
from tunegate.sdk.launcher import (
    FINISHED,
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

P = ParamSpec("P")
T = TypeVar("T")
QUEUE_DEPTH = 8
"""The queue is strictly in order, so a few are enough."""
LOOK_AGAIN_S = 0.3


class ContainerLauncher(Launcher):
    """A run is a folder until its turn comes, then a container of its name that outlives the gateway.

    The queue moves whenever it is looked at: `submit`, `poll` and `cancel` all do what is due.
    """

    name = "container"
    description = "Containers of docker or podman on the gateway's host"
    settings_type: ClassVar[type[msgspec.Struct]] = ContainerSettings

    def __init__(self, settings: ContainerSettings, context: LauncherContext) -> None:
        self._settings = settings
        self._clock = context.clock
        self._machine = look(settings, os.environ)
        self._engine = Engine(find_socket(settings.socket, os.environ), settings.timeout_s)
        self._images = Images(self._engine, settings, context.clock)
        path = Path(context.state_dir).resolve() / "containers"
        self._folders = Folders(path)
        self._host_lock = HostLock(path.with_name("containers.lock"), context.clock)
        self._lock = asyncio.Lock()
        self._reasons: dict[str, str] = {}
        """Why runs wait, by name."""
        self._failing_since_s: dict[str, float] = {}
        self._ended: dict[str, RunStatus] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            gpus=len(self._machine.gpu_ids),
            queue_depth=QUEUE_DEPTH,
            calls_back=self._settings.network != "none",
        )

    def review(
        self,
        container: ContainerSpec,
        options: dict[str, Any],  # noqa: ARG002  it takes none
    ) -> tuple[list[Problem], list[Ignored]]:
        fallback = self._settings.cpu_fallback
        return review_resources(container.resources, self._machine, cpu_fallback=fallback)

    def render(self, run: Run) -> NativeRequest:
        demand = demand_of(run.container.resources, self._machine)
        body = {
            "create": create_request(run, demand, self._settings),
            "demand": msgspec.to_builtins(demand),
            "files": sorted(public_files(run) | secret_files(run)),
            "claim_token": REDACTED,
        }
        return NativeRequest(kind="container", body=body)

    async def start(self) -> None:
        async with self._taken():
            await _on_disk(self._folders.sweep)

    async def close(self) -> None:
        await self._images.close()
        await self._engine.close()

    async def submit(self, run: Run) -> None:
        if not NAME.fullmatch(run.name):
            raise LaunchRefused("the run's name is not one of at most 63 of a-z, 0-9 and -")
        problems, _ = self.review(run.container, run.options)
        if problems:
            raise LaunchRefused(problems[0].message)
        async with self._taken():
            if not await self._is_there(run):
                demand = demand_of(run.container.resources, self._machine)
                request = create_request(run, demand, self._settings)
                lasts_s = run.remaining_s + run.grace_s + self._settings.margin_s
                await _on_disk(self._folders.add, run, identity(run), demand, request, lasts_s)
            await self._advance()

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        if not names:
            return {}
        async with self._taken():
            views, listed = await self._advance()
            looks = (self._status(name, views.get(name), listed.get(name)) for name in names)
            return {status.name: status for status in await asyncio.gather(*looks)}

    async def cancel(self, name: str, grace_s: float) -> None:
        async with self._taken():
            view = await _on_disk(self._folders.view, name)
            if view is None or (await self._status(name, view)).state in FINISHED:
                return
            await self._stop(name, view, "cancel", grace_s)

    async def cleanup(self, name: str) -> None:
        async with self._taken():
            found = await self._engine.inspect(name)
            if found is not None and found.labels.get(INSTANCE) == self._settings.instance:
                await self._engine.remove(name)
            await _on_disk(self._folders.remove, name)
            for known in (self._reasons, self._failing_since_s, self._ended):
                known.pop(name, None)

    async def list_runs(self) -> list[str]:
        async with self._taken():
            views = await _on_disk(self._folders.views)
            return sorted({*views, *await self._listed()})

    async def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        if follow:
            await self._until_begun(name)
        chunks = frames(self._engine.logs(name, follow=follow))
        try:
            async for chunk in skip(chunks, offset):
                yield chunk
        except ApiError as error:
            if error.status not in (404, 409):  # not made yet, or gone
                raise EngineUnavailable(error.message) from None

    async def _until_begun(self, name: str) -> None:
        while True:
            state = (await self.poll([name]))[name].state
            if state not in (RunState.PENDING, RunState.STARTING):
                return
            await self._clock.sleep(LOOK_AGAIN_S)

    async def _is_there(self, run: Run) -> bool:
        """Whether the run was submitted before. Raises LaunchRefused where its name is somebody else's."""
        view = await _on_disk(self._folders.view, run.name)
        if view is not None:
            if view.record.identity != identity(run):
                raise LaunchRefused("another run has this name")
            return True
        found = await self._engine.inspect(run.name)
        if found is None:
            return False
        if found.state.status.lower() == "removing":
            raise EngineUnavailable("A container of this name is still being removed.")
        if found.labels.get(IDENTITY) != identity(run):
            raise LaunchRefused("somebody else's container has the run's name")
        return True  # its folder is lost, the run is not

    async def _advance(self) -> tuple[dict[str, View], dict[str, Listed]]:
        """Do what is due; the runs as they are then, and the list that was gone by."""
        views = await _on_disk(self._folders.views)
        listed = await self._listed()
        now = due(views, listed, self._clock.now_ms())
        for name in now.to_stop:
            await self._stop(name, views[name], "deadline", views[name].record.grace_s)
        await asyncio.gather(*(self._engine.kill(name, "SIGKILL") for name in now.to_kill))
        self._reasons = {}
        await asyncio.gather(*(self._begin(views[name]) for name in now.to_start))
        ready = [name for name in now.waiting if await self._has_image(views[name])]
        queue = ((name, views[name].record.demand) for name in ready)
        decided = plan(queue, now.held, self._machine)
        starts = (self._make(views[name], grant) for name, grant in decided.starts.items())
        await asyncio.gather(*starts)
        behind = [name for name in ready if name not in decided.starts]
        self._reasons |= {name: sentence(decided.lack, n) for n, name in enumerate(behind)}
        return await _on_disk(self._folders.views), listed

    async def _has_image(self, view: View) -> bool:
        name = view.record.name
        state = await self._images.state(view.record.request["Image"], name)
        if state.failed:
            await self._end(name, state.reason)
        elif not state.here:
            self._reasons[name] = state.reason
        return state.here

    async def _make(self, view: View, grant: Grant) -> None:
        """Its container, with the run's files in it."""
        name = view.record.name
        try:
            request = with_grant(view.record.request, grant, self._settings)
            await self._engine.create(name, request)
        except ApiError as error:
            found = await self._engine.inspect(name)
            if found is None:
                await self._trouble(name, error)
                return
            if found.labels.get(IDENTITY) != view.record.identity:
                await self._end(name, "somebody else's container has the run's name")
                return
        await self._begin(view)

    async def _begin(self, view: View) -> None:
        """Fill and start a container that is there, once: engines start one again that is over, and lists may be old."""
        name = view.record.name
        found = await self._engine.inspect(name)
        if found is None:
            return
        if found.is_fresh:
            public, secret = await _on_disk(self._folders.files, view.record)
            try:
                await self._engine.put(found.id, ROOM, room(public, secret, self._settings.user))
                again = await self._engine.inspect(found.id)  # an earlier start may have been slow
                if again is not None and again.is_fresh:
                    await self._engine.start_container(
                        found.id
                    )  # and never a later one of its name
            except ApiError as error:
                await self._trouble(name, error)
                return
        self._failing_since_s.pop(name, None)
        end_at_ms = self._clock.now_ms() + round(view.record.lasts_s * 1000)
        await _on_disk(self._folders.begin, name, Begun(end_at_ms=end_at_ms))

    async def _trouble(self, name: str, error: ApiError) -> None:
        """The engine would not: for good, or it may yet."""
        since_s = self._failing_since_s.setdefault(name, self._clock.monotonic_s())
        late = self._clock.monotonic_s() - since_s >= self._settings.start_deadline_s
        reason = f"the engine can't start it: {error.message}"
        if late or error.is_final or is_for_good(error.message):
            await self._engine.remove(name)
            await self._end(name, reason)
        else:
            self._reasons[name] = reason

    async def _end(self, name: str, reason: str) -> None:
        await _on_disk(self._folders.write_end, name, End(reason=reason))

    async def _stop(self, name: str, view: View, cause: str, grace_s: float) -> None:
        kill_at_ms = self._clock.now_ms() + round(max(0.0, grace_s) * 1000)
        stop = sooner(view.stop, Stop(cause=cause, kill_at_ms=kill_at_ms))
        await _on_disk(self._folders.write_stop, name, stop)
        if view.stop is None or grace_s <= 0:
            await self._engine.kill(name, "SIGTERM" if grace_s > 0 else "SIGKILL")

    async def _status(
        self, name: str, view: View | None, listed: Listed | None = None
    ) -> RunStatus:
        """Of a run that lives the list tells enough; how one ended, or that there is none, the container itself."""
        if name in self._ended:
            return self._ended[name]
        if view is not None and view.end is not None:
            return failed(name, view.end.reason)
        stop = view.stop if view is not None else None
        if listed is not None and listed.state.lower() == "running":
            return status_of(name, State(status=listed.state), stop)
        found = await self._engine.inspect(name)
        if found is not None and found.labels.get(INSTANCE) == self._settings.instance:
            status = status_of(name, found.state, stop)
            if status.state in FINISHED:
                self._ended[name] = status
            reason = self._reasons.get(name, "")
            if status.state is RunState.STARTING and reason:
                return msgspec.structs.replace(status, reason=reason)
            return status
        if view is None:
            return RunStatus(name=name, state=RunState.ABSENT)
        if stop is not None:
            return stopped(name, stop)
        if view.begun is not None:
            return msgspec.structs.replace(GONE, name=name)
        reason = self._reasons.get(name, "waits for its turn")
        return RunStatus(name=name, state=RunState.PENDING, native_state="waiting", reason=reason)

    async def _listed(self) -> dict[str, Listed]:
        found = await self._engine.containers(f"{INSTANCE}={self._settings.instance}")
        return {one.name: one for one in found}

    @asynccontextmanager
    async def _taken(self) -> AsyncGenerator[None]:
        """One caller at a time, of all gateways that share the state folder."""
        async with self._lock, self._host_lock.taken():
            yield


async def _on_disk(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Disks are slow, so a thread does it; whoever is cancelled meanwhile holds the lock until it is done."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
    except OSError as error:
        raise EngineUnavailable(f"The state folder can't be used: {error.strerror}") from error
