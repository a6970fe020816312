"""The engines as the reconciler meets them: one question for many runs, every call bounded in time."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from tunegate.sdk.launcher import EngineUnavailable, Launcher, RunState, RunStatus

CALL_TIMEOUT_S = 60.0
"""No answer within this counts as none; whether the call had its effect is then unknown."""
_GATHER_S = 0.002
"""Questions that come so close together are asked as one."""


class _Round:
    """Names to be asked for together, and the one answer."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.answer: asyncio.Task[dict[str, RunStatus]] | None = None


class Engines:
    """The launchers by name."""

    def __init__(self, launchers: Mapping[str, Launcher]) -> None:
        self._launchers = launchers
        self._rounds: dict[str, _Round] = {}

    def names(self) -> list[str]:
        return list(self._launchers)

    def get(self, name: str) -> Launcher:
        """Raises EngineUnavailable when the launcher is not configured (any more): its runs may well go on."""
        try:
            return self._launchers[name]
        except KeyError:
            raise EngineUnavailable(f"The launcher {name} is not configured here.") from None

    async def status(self, launcher: str, run_name: str) -> RunStatus:
        """What the engine says of one run. Raises EngineUnavailable."""
        self.get(launcher)
        round_ = self._rounds.setdefault(launcher, _Round())
        round_.names.add(run_name)
        if round_.answer is None:
            round_.answer = asyncio.create_task(self._ask(launcher, round_))
        answers = await asyncio.shield(round_.answer)
        return answers.get(run_name) or RunStatus(name=run_name, state=RunState.ABSENT)

    async def _ask(self, launcher: str, round_: _Round) -> dict[str, RunStatus]:
        await asyncio.sleep(_GATHER_S)
        if self._rounds.get(launcher) is round_:
            del self._rounds[launcher]
        async with bounded():
            return await self._launchers[launcher].poll(sorted(round_.names))


@asynccontextmanager
async def bounded(limit_s: float = CALL_TIMEOUT_S) -> AsyncGenerator[None]:
    """A call that takes too long becomes EngineUnavailable."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise EngineUnavailable("The engine did not answer in time.") from None
