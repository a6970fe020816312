"""`SlurmApi`: the few words that the launcher has with a cluster, by either way; and what its refusals mean."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tunegate.launchers.slurm.job import SlurmJob
from tunegate.launchers.slurm.request import JobRequest
from tunegate.sdk.launcher import EngineUnavailable, LaunchRefused

_REFUSALS = (
    "invalid partition", "invalid account", "invalid qos", "requested reservation is invalid", "invalid generic resource",
    "invalid feature", "invalid node name", "invalid license", "requested node configuration is not available",
    "access/permission denied", "access denied", "requested time limit is invalid", "more processors requested than permitted",
    "node count specification invalid", "group not permitted", "account not permitted", "qos not permitted",
    "memory specification can not be satisfied", "requested partition configuration not available",
    "batch script is empty", "is not valid for this version",
)  # fmt: skip
"""Words with which Slurm refuses a job for good, in any release. Everything else may pass: the engine's own trouble, a
limit on waiting jobs, a controller in stand-by."""


class SlurmApi(ABC):
    """Every call raises EngineUnavailable where the cluster does not answer, or answers with trouble of its own."""

    async def start(self) -> None:
        """Find out how to talk."""

    async def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    async def jobs(self, names: Sequence[str] | None) -> list[SlurmJob]:
        """Jobs of these names that Slurm still lists, the ended ones too; None = all of the user."""

    @abstractmethod
    async def submit(self, request: JobRequest) -> int:
        """The number of the new job. Raises LaunchRefused; after EngineUnavailable nobody knows whether there is one."""

    @abstractmethod
    async def kill(self, job: SlurmJob) -> None:
        """An end to the job, waiting or not. A job that is gone is fine."""

    async def accounted(self, names: Sequence[str], since_s: int) -> list[SlurmJob]:  # noqa: ARG002
        """Jobs that Slurm does not list any more, from its accounting where there is one."""
        return []


def trouble(message: str) -> EngineUnavailable | LaunchRefused:
    """What a refusal of Slurm is: the job's fault, or something that may pass."""
    said = " ".join(message.split())[:300] or "no reason was given"
    if any(words in said.lower() for words in _REFUSALS):
        return LaunchRefused(f"Slurm refused the job: {said}")
    return EngineUnavailable(f"Slurm did not take the job: {said}")
