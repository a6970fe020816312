"""What a workload and its pods say of a run, in our words: the same for all launchers of pods. Pure."""

from collections.abc import Sequence

from tunegate.contract.base import Wire
from tunegate.contract.trainer_status import TrainerStatus
from tunegate.launchers.kube.names import STOP
from tunegate.launchers.kube.objects import Thing
from tunegate.launchers.kube.pod_states import PodWord, Row
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import RunState, RunStatus

LOST = Row(failure="run_lost", sentence="its pods failed and left nothing to say why: {}")
_CONSEQUENCES = frozenset({CATALOGUE["rank_lost"].exit_code, CATALOGUE["superseded"].exit_code})
"""Exit codes of nodes that ended because another did."""
_DISRUPTED = frozenset({"interrupted", "run_lost"})


class Workload(Wire):
    """What a workload says of itself. `failure` is there where it knows better than its pods why it `failed`."""

    native: str
    complete: bool = False
    failed: bool = False
    failure: Row | None = None
    message: str = ""
    """The engine's own, of its failure."""
    suspended: bool = False
    deleting: bool = False
    queue: str | None = None
    replaces: bool = False
    """The engine makes a pod anew that was disrupted before it began."""
    report: TrainerStatus | None = None


def read_run(
    name: str, record: Thing | None, job: Workload | None, pods: Sequence[PodWord], nodes: int = 1
) -> RunStatus:
    """The state of a run. `record` is its ConfigMap, which is there from the first step to the last."""
    if record is None and job is None:
        return RunStatus(name=name, state=RunState.ABSENT)
    if record is not None and STOP in (record.metadata.annotations or {}):
        return _stopping(name, job, pods)
    if job is None:
        return RunStatus(name=name, state=RunState.ABSENT)
    native = job.native
    if job.complete:
        return RunStatus(
            name=name, state=RunState.SUCCEEDED, native_state=native, reason="ended well", exit_code=0
        )  # fmt: skip
    failed = [word for word in pods if word.state is RunState.FAILED]
    if job.failure is not None:
        return _failed(name, native, job.failure, job.message)
    if job.replaces and not job.failed:
        failed = [word for word in failed if not _is_replaced(word)]
    if failed:
        first = min(failed, key=_rank)
        reason = first.reason if nodes == 1 else f"node {first.index}: {first.reason}"
        return RunStatus(
            name=name, state=RunState.FAILED, native_state=native, reason=reason,
            exit_code=first.exit_code, failure=first.failure,
        )  # fmt: skip
    if job.failed:
        return _failed(name, native, LOST, job.message)
    state, reason = _alive(job, [word for word in pods if not _is_replaced(word)], nodes)
    return RunStatus(name=name, state=state, native_state=native, reason=reason)


def _stopping(name: str, job: Workload | None, pods: Sequence[PodWord]) -> RunStatus:
    """Stopped once nothing of it is left."""
    if job is None and not any(word.alive for word in pods):
        return RunStatus(
            name=name, state=RunState.STOPPED, native_state="Deleted", reason="stopped, as asked"
        )
    state = RunState.RUNNING if any(word.begun for word in pods) else RunState.STARTING
    return RunStatus(
        name=name, state=state, native_state="Deleting", reason="it is being stopped"
    )  # fmt: skip


def _failed(name: str, native: str, row: Row, message: str) -> RunStatus:
    words = " ".join(message.split())[:400]
    reason = row.sentence.replace("{}", words) if words else row.sentence.replace(": {}", "")
    return RunStatus(
        name=name, state=RunState.FAILED, native_state=native, reason=reason, failure=row.failure
    )


def _is_replaced(word: PodWord) -> bool:
    """It was disrupted before it began, which is nobody's loss."""
    return word.state is RunState.FAILED and not word.begun and word.failure in _DISRUPTED


def _rank(word: PodWord) -> tuple[bool, bool, int]:
    """Causes before consequences: what the engine saw, then exit codes, then those that follow from another's."""
    return (word.exit_code in _CONSEQUENCES, word.failure is None, word.index)


def _alive(job: Workload, pods: Sequence[PodWord], nodes: int) -> tuple[RunState, str]:
    if job.deleting:
        return RunState.STARTING, "somebody deleted it"
    if job.suspended and not any(word.alive for word in pods):
        waits = f"it waits in the queue {job.queue}" if job.queue else "it is suspended"
        return RunState.PENDING, waits
    if not pods:
        return RunState.PENDING, "its pods are being made"
    for state in (RunState.PENDING, RunState.STARTING):
        waiting = [word for word in pods if word.state is state]
        if waiting:
            return state, waiting[0].reason
    if len({word.index for word in pods}) < nodes:
        return RunState.STARTING, f"{len(pods)} of {nodes} nodes are there"
    return RunState.RUNNING, ""
