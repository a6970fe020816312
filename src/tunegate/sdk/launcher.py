"""`Launcher`: where it runs. `render` is a pure function; the effects are idempotent and hang on the run's name."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from tunegate.contract.base import Strict, Wire
from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.secret import Secret
from tunegate.contract.trainer_status import TrainerStatus
from tunegate.sdk.backend import NoOptions
from tunegate.sdk.clock import Clock


class Capabilities(Wire):
    """What an engine can do; a job that needs more gets a 422 that names the lack."""

    multi_node: bool = False
    follows_logs: bool = True
    queues: bool = True
    survives_gateway: bool = True
    calls_back: bool = True
    """Runs reach the gateway. Where they don't, `Run.grant` goes with them and they leave their events beside the output."""
    gpus: int | None = None
    """GPUs per node, None = not known to the launcher."""
    queue_depth: Annotated[int, msgspec.Meta(ge=1)] = 64
    """Runs that may wait in the engine itself; the gateway keeps the rest. Enough to fill what falls free between two
    looks, and to let the engine choose among; more only makes it slow and the order unfair."""


class Run(Wire):
    """One attempt to be launched. `name` is deterministic, at most 63 of [a-z0-9-], and the key of every effect."""

    name: str
    job_id: str
    attempt: int
    attempt_id: str
    container: ContainerSpec
    gateway_url: str
    claim_token: Secret
    """For the launcher's own secret object (a 0600 file, a Kubernetes Secret); never env, argv or the manifest."""
    grant: Secret | None = None
    """In the token's place where runs don't call back: the job's credentials, as JSON. For the secret object alone."""
    options: dict[str, Any] = {}
    """Checked `extra_parameters` of this launcher."""
    remaining_s: float = 480 * 60.0
    grace_s: float = 120.0


class NativeRequest(Wire):
    """What would be sent to the engine, printable and free of secrets (`claim_token` shows as ***)."""

    kind: str
    body: dict[str, Any]


class RunState(StrEnum):
    """Our words for what an engine says of a run."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    ABSENT = "absent"
    """The engine answered and knows no such run. Trouble with the engine's API raises EngineUnavailable instead."""


FINISHED: frozenset[RunState] = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED})
OVER = FINISHED | {RunState.ABSENT}
"""Nothing of the run goes on."""


class RunStatus(Wire):
    """One answer of `poll`. `failure` is a code of the catalogue where the engine knows better than the exit code."""

    name: str
    state: RunState
    native_state: str = ""
    reason: str = ""
    """One sentence for people: why it waits, why it ended."""
    exit_code: int | None = None
    failure: str | None = None
    report: TrainerStatus | None = None
    """How far the program is, where it told its engine: a hint, for programs that report and do not push events."""


class EngineUnavailable(Exception):
    """The engine's API did not answer or answered with trouble of its own. Says nothing about the runs."""


class LaunchRefused(Exception):
    """The engine refused the run for good (bad request, no permission). The message is for the user."""


class LauncherContext(Wire):
    """What every launcher gets at construction, besides its settings."""

    state_dir: str
    clock: Clock


class Launcher(ABC):
    """Subclass, name it in the entry-point group `tunegate.launchers`. Constructed with (settings, context)."""

    api_version: ClassVar[int] = 1
    """The plugin API that it was written for (`tunegate.sdk.versions`): a gateway refuses what it can't speak."""
    name: ClassVar[str]
    description: ClassVar[str] = ""
    settings_type: ClassVar[type[msgspec.Struct]] = NoOptions
    """The operator's `[launchers.<name>]` table."""
    options_type: ClassVar[type[Strict]] = NoOptions
    """The keys of `extra_parameters` that this launcher takes."""

    @abstractmethod
    def __init__(self, settings: Any, context: LauncherContext) -> None: ...

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities: ...

    @abstractmethod
    def review(
        self, container: ContainerSpec, options: dict[str, Any]
    ) -> tuple[list[Problem], list[Ignored]]:
        """What this engine can't give (problems) or will not honour (ignored). Pure."""

    @abstractmethod
    def render(self, run: Run) -> NativeRequest:
        """The native request. Pure: same run, same value; no secret in it."""

    async def start(self) -> None:
        """Adopt what is there, open connections. Called once before any effect."""

    async def close(self) -> None:
        """Let go of connections; runs go on without us."""

    @abstractmethod
    async def submit(self, run: Run) -> None:
        """Create the run, or adopt the one of this name. Raises LaunchRefused or EngineUnavailable."""

    async def claimed(self, name: str) -> None:
        """The run has its `grant`: take it out of the secret object, if nobody else will read it. Idempotent."""

    @abstractmethod
    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        """The state of each named run; unknown names are ABSENT. Raises EngineUnavailable."""

    @abstractmethod
    async def cancel(self, name: str, grace_s: float) -> None:
        """Ask it to stop, kill it after `grace_s`. Returns at once; poll tells the rest. Unknown names are fine."""

    @abstractmethod
    async def cleanup(self, name: str) -> None:
        """Remove the engine's object after the end (logs may go with it). Unknown names are fine."""

    @abstractmethod
    async def list_runs(self) -> list[str]:
        """Names of all runs of this gateway that the engine holds; for finding orphans."""

    @abstractmethod
    def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        """The run's output from byte `offset`; with `follow` until the run ends."""
