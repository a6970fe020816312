"""An engine that does everything engines were seen doing: lost answers, late effects, doubled runs, stale lists, lost nodes."""

import asyncio
import contextvars
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunegate.contract.problems import Ignored, Problem
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

Program = Callable[[Run, "Process"], Coroutine[Any, Any, int]]
"""What runs inside: gives its exit code."""
LATE_S = 120.0
STALE_S = 5.0
SLOW_S = 5.0
"""Much happens while such an answer is on its way."""


@dataclass
class Process:
    """One started copy of a run."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody asked it to end."""
    task: asyncio.Task[int] | None = None


@dataclass
class Held:
    """An object of the engine."""

    run: Run
    state: RunState = RunState.PENDING
    exit_code: int | None = None
    failure: str | None = None
    processes: list[Process] = field(default_factory=list[Process])
    cancelled: bool = False
    history: list[tuple[float, RunState]] = field(default_factory=list[tuple[float, RunState]])


class SimEngine(Launcher):
    """`trouble` scales how often anything goes wrong; 0 = never."""

    name = "local"

    def __init__(self, chance: random.Random, program: Program, trouble: float = 1.0) -> None:
        self._chance = chance
        self._program = program
        self._trouble = trouble
        self._terminating: set[str] = set()
        self.held: dict[str, Held] = {}
        self.started = 0
        self.output: list[bytes] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(queue_depth=64)

    def review(self, container: Any, options: Any) -> tuple[list[Problem], list[Ignored]]:
        return [], []

    def render(self, run: Run) -> NativeRequest:
        return NativeRequest(kind="sim", body={})

    async def submit(self, run: Run) -> None:
        await self._answer()
        if run.name in self._terminating:
            raise EngineUnavailable("the name is still terminating")
        if self._happens(0.04):  # taken, and done much later, when nobody reckons with it any more
            self._spawn(self._later(run))
            raise EngineUnavailable("time-out")
        self._create(run)
        if self._happens(0.05):
            raise EngineUnavailable("time-out")

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        await self._answer()
        stale_s = STALE_S * self._chance.random() if self._happens(0.1) else 0.0
        found = {name: self._status(name, stale_s) for name in names}
        return {name: status for name, status in found.items() if status is not None}

    async def cancel(self, name: str, grace_s: float) -> None:
        await self._answer()
        held = self.held.get(name)
        if held is None or held.cancelled:
            return
        held.cancelled = True
        if not held.processes:
            self._end(held, RunState.STOPPED, None)
        for process in held.processes:
            process.stop.set()
        self._spawn(self._kill_later(held, grace_s))

    async def cleanup(self, name: str) -> None:
        await self._answer()
        held = self.held.pop(name, None)
        if held is None:
            return
        self._kill(held)
        if self._happens(0.2):
            self._terminating.add(name)
            self._spawn(self._let_go(name))

    async def list_runs(self) -> list[str]:
        await self._answer()
        return sorted(self.held)

    async def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        await self._answer()
        for chunk in self.output:
            yield chunk

    def lose_a_node(self) -> None:
        """Some run vanishes, is put back into the queue, or is reported as lost, pre-empted or too large."""
        running = sorted(name for name, held in self.held.items() if held.state is RunState.RUNNING)
        if not running:
            return
        held = self.held[self._chance.choice(running)]
        self._kill(held)
        match self._chance.choice(["vanished", "queued", None, "interrupted", "out_of_memory"]):
            case "vanished":
                self.held.pop(held.run.name)
            case "queued" if not held.cancelled:
                held.processes = []
                self._turn(held, RunState.PENDING)
                self._spawn(self._schedule(held))
            case "interrupted" | "out_of_memory" as failure:
                held.failure = failure
                self._end(held, RunState.FAILED, None)
            case _:
                self._end(held, RunState.FAILED, None)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def _create(self, run: Run) -> None:
        if run.name in self.held:
            return
        self.held[run.name] = held = Held(run)
        held.history.append((self._now_s(), RunState.PENDING))
        self._spawn(self._schedule(held))

    async def _later(self, run: Run) -> None:
        await asyncio.sleep(LATE_S * self._chance.random())
        self._create(run)

    async def _schedule(self, held: Held) -> None:
        await asyncio.sleep(self._chance.expovariate(1 / 3))
        if held.state in FINISHED or self.held.get(held.run.name) is not held:
            return
        self._turn(held, RunState.RUNNING)
        copies = 2 if self._happens(0.05) else 1
        held.processes = processes = [Process() for _ in range(copies)]
        for process in processes:
            self.started += 1
            process.task = self._spawn(self._program(held.run, process))
        codes = [await self._code(process) for process in processes]
        if held.state in FINISHED or held.processes is not processes:
            return
        # The engine reports one of them, as it is one object to it.
        code = next((code for code in codes if code != 78), codes[0])
        state = RunState.SUCCEEDED if code == 0 else RunState.FAILED
        self._end(held, RunState.STOPPED if held.cancelled and code else state, code)

    async def _code(self, process: Process) -> int | None:
        assert process.task is not None
        try:
            return await process.task
        except asyncio.CancelledError:
            return None

    async def _kill_later(self, held: Held, grace_s: float) -> None:
        await asyncio.sleep(grace_s)
        if held.state not in FINISHED:
            self._kill(held)
            self._end(held, RunState.STOPPED, None)

    async def _let_go(self, name: str) -> None:
        await asyncio.sleep(20 * self._chance.random())
        self._terminating.discard(name)

    def _status(self, name: str, stale_s: float) -> RunStatus | None:
        held = self.held.get(name)
        if held is None:
            return None
        then_s = self._now_s() - stale_s
        seen = [state for at_s, state in held.history if at_s <= then_s]
        if not seen:
            return None
        over = seen[-1] in FINISHED
        return RunStatus(
            name=name,
            state=seen[-1],
            exit_code=held.exit_code if over else None,
            failure=held.failure if over else None,
        )

    def _kill(self, held: Held) -> None:
        for process in held.processes:
            if process.task is not None:
                process.task.cancel()

    def _end(self, held: Held, state: RunState, code: int | None) -> None:
        if held.state not in FINISHED:
            held.exit_code = code
            self._turn(held, state)

    def _turn(self, held: Held, state: RunState) -> None:
        held.state = state
        held.history.append((self._now_s(), state))

    async def _answer(self) -> None:
        slow = self._happens(0.05)
        await asyncio.sleep((SLOW_S if slow else 0.02) * self._chance.random())
        if self._happens(0.03):
            raise EngineUnavailable("503")

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability * self._trouble

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        # What runs in the engine outlives the gateway that began it.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
