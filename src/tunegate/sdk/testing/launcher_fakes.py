"""`ScriptedLauncher`: an engine in memory that does what a test says, bad manners included."""

from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.secret import REDACTED
from tunegate.sdk.clock import Clock, SystemClock
from tunegate.sdk.launcher import (
    FINISHED,
    Capabilities,
    EngineUnavailable,
    Launcher,
    NativeRequest,
    Run,
    RunState,
    RunStatus,
)

Effect = Literal["submit", "poll", "cancel", "cleanup", "list_runs"]


class ScriptedLauncher(Launcher):
    """Runs stay PENDING until the test moves them by `set`, `finish` or `script`.

    `created` counts how often each run came to life in the engine, which must never be more than once; `calls` counts
    every effect, also those that raised.
    """

    name = "scripted"
    description = "An engine in memory, for tests"

    def __init__(self, settings: Any = None, context: Any = None) -> None:  # noqa: ARG002
        self.clock: Clock = SystemClock() if context is None else context.clock
        self.runs: dict[str, Run] = {}
        self.created: Counter[str] = Counter()
        self.calls: Counter[Effect] = Counter()
        self.cancelled: dict[str, float] = {}
        self.output: dict[str, bytes] = {}
        self.problems: list[Problem] = []
        self.ignores_cancel = False
        self._statuses: dict[str, RunStatus] = {}
        self._scripts: dict[str, deque[RunStatus]] = {}
        self._trouble: dict[Effect, deque[tuple[Exception, bool]]] = {}
        self._delays_s: dict[Effect, float] = {}
        self._stale_polls = 0
        self._storm = 0

    # What a test says

    def set(self, name: str, state: RunState, **fields: Any) -> None:
        """The engine's state of a run from now on."""
        self._statuses[name] = RunStatus(name=name, state=state, **fields)

    def finish(self, name: str, exit_code: int = 0, failure: str | None = None) -> None:
        """The run ends by itself."""
        state = RunState.FAILED if exit_code or failure else RunState.SUCCEEDED
        self.set(name, state, exit_code=exit_code, failure=failure)

    def vanish(self, name: str) -> None:
        """The engine forgets the run."""
        self.runs.pop(name, None)
        self._statuses.pop(name, None)

    def script(self, name: str, *statuses: RunStatus) -> None:
        """Each poll takes the next one; the last stays."""
        self._scripts[name] = deque(statuses)

    def fail(
        self, effect: Effect, error: Exception, *, times: int = 1, after: bool = False
    ) -> None:
        """The next calls raise; with `after` the engine has done it all the same (its answer was lost)."""
        self._trouble.setdefault(effect, deque()).extend([(error, after)] * times)

    def storm(self, calls: int) -> None:
        """The engine's API answers 503 to the next calls, whatever they are."""
        self._storm = calls

    def slow(self, effect: Effect, delay_s: float) -> None:
        """Every call takes this long on the injected clock before it does anything."""
        self._delays_s[effect] = delay_s

    def stale(self, polls: int) -> None:
        """The next polls don't know of runs created since the last one, as a lagging cache would."""
        self._stale_polls = polls

    # What the gateway sees

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def review(
        self,
        container: ContainerSpec,  # noqa: ARG002
        options: dict[str, Any],  # noqa: ARG002
    ) -> tuple[list[Problem], list[Ignored]]:
        return list(self.problems), []

    def render(self, run: Run) -> NativeRequest:
        body = {"name": run.name, "command": run.container.command, "claim_token": REDACTED}
        return NativeRequest(kind="scripted", body=body)

    async def submit(self, run: Run) -> None:
        lost_answer = await self._enter("submit")
        if run.name not in self.runs:
            self.runs[run.name] = run
            self.created[run.name] += 1
            self.set(run.name, RunState.PENDING)
        _raise(lost_answer)

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        lost_answer = await self._enter("poll")
        stale = self._stale_polls > 0
        self._stale_polls -= stale
        answer = {name: self._status(name, stale) for name in names}
        _raise(lost_answer)
        return answer

    async def cancel(self, name: str, grace_s: float) -> None:
        lost_answer = await self._enter("cancel")
        self.cancelled[name] = grace_s
        status = self._statuses.get(name)
        if status is not None and status.state not in FINISHED and not self.ignores_cancel:
            self.set(name, RunState.STOPPED)
        _raise(lost_answer)

    async def cleanup(self, name: str) -> None:
        lost_answer = await self._enter("cleanup")
        self.vanish(name)
        _raise(lost_answer)

    async def list_runs(self) -> list[str]:
        _raise(await self._enter("list_runs"))
        return sorted(self.runs)

    async def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:  # noqa: ARG002
        yield self.output.get(name, b"")[offset:]

    async def _enter(self, effect: Effect) -> Exception | None:
        """Raises what is due before the effect; returns what is due after it."""
        self.calls[effect] += 1
        if effect in self._delays_s:
            await self.clock.sleep(self._delays_s[effect])
        if self._storm > 0:
            self._storm -= 1
            raise EngineUnavailable("503")
        trouble = self._trouble.get(effect)
        if not trouble:
            return None
        error, after = trouble.popleft()
        if not after:
            raise error
        return error

    def _status(self, name: str, stale: bool) -> RunStatus:
        script = self._scripts.get(name)
        if script:
            self._statuses[name] = script.popleft()
        absent = RunStatus(name=name, state=RunState.ABSENT)
        return absent if stale else self._statuses.get(name, absent)


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
