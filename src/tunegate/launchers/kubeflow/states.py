"""What a TrainJob and its pods say, in our words: the one table. Pure."""

from collections.abc import Sequence

from tunegate.launchers.kube.names import STOP
from tunegate.launchers.kube.objects import Condition, Thing, condition, holds
from tunegate.launchers.kube.pod_states import PodWord, Row
from tunegate.launchers.kubeflow.objects import TrainJob
from tunegate.launchers.kubeflow.render import QUEUE
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import FINISHED, RunState, RunStatus

FAILURES: dict[str, Row] = {
    "TrainingRuntimeNotSupported": Row(failure="launch_failed", sentence="its training runtime can't be used: {}"),
    "DeadlineExceeded": Row(failure="deadline_exceeded", sentence="its time was used up"),
}  # fmt: skip
"""`reason` of the condition Failed where it is the TrainJob's own."""
FAILED = Row(failure="run_lost", sentence="its jobs failed and left nothing to say why: {}")
"""Any other reason (FailedJobs and the like), where no pod tells more."""
_CONSEQUENCES = frozenset({CATALOGUE["rank_lost"].exit_code, CATALOGUE["superseded"].exit_code})
"""Exit codes of nodes that ended because another did."""


def read_run(
    name: str, record: Thing | None, job: TrainJob | None, pods: Sequence[PodWord], nodes: int = 1
) -> RunStatus:
    """The state of a run. `record` is its ConfigMap, which is there from the first step to the last."""
    if record is None and job is None:
        return RunStatus(name=name, state=RunState.ABSENT)
    if record is not None and STOP in (record.metadata.annotations or {}):
        return _stopping(name, job, pods)
    if job is None:
        return RunStatus(name=name, state=RunState.ABSENT)
    native = native_state(job)
    if holds(job.status.conditions, "Complete"):
        return RunStatus(
            name=name, state=RunState.SUCCEEDED, native_state=native, reason="ended well", exit_code=0
        )  # fmt: skip
    failed = [word for word in pods if word.state is RunState.FAILED]
    failure = holds(job.status.conditions, "Failed")
    if failure is not None and failure.reason in FAILURES:
        return _failed(name, native, FAILURES[failure.reason], failure)
    if failed:
        first = min(failed, key=_rank)
        reason = first.reason if nodes == 1 else f"node {first.index}: {first.reason}"
        return RunStatus(
            name=name, state=RunState.FAILED, native_state=native, reason=reason,
            exit_code=first.exit_code, failure=first.failure,
        )  # fmt: skip
    if failure is not None:
        return _failed(name, native, FAILED, failure)
    state, reason = _alive(job, pods, nodes)
    return RunStatus(name=name, state=state, native_state=native, reason=reason)


def is_over(status: RunStatus) -> bool:
    return status.state in FINISHED


def native_state(job: TrainJob) -> str:
    """Kubeflow's own word: the newest condition that is true, or how its jobs are."""
    if job.metadata.deletion_timestamp is not None:
        return "Deleting"
    for kind in ("Complete", "Failed", "Suspended"):
        found = holds(job.status.conditions, kind)
        if found is not None:
            return f"{kind}/{found.reason}" if found.reason not in ("", kind) else kind
    if job.spec.suspend:
        return "Suspended"
    ready = any(child.ready for child in job.status.jobs_status or ())
    return "Ready" if ready else "Created"


def _stopping(name: str, job: TrainJob | None, pods: Sequence[PodWord]) -> RunStatus:
    """Stopped once nothing of it is left."""
    if job is None and not any(word.alive for word in pods):
        return RunStatus(
            name=name, state=RunState.STOPPED, native_state="Deleted", reason="stopped, as asked"
        )
    state = RunState.RUNNING if any(word.begun for word in pods) else RunState.STARTING
    return RunStatus(
        name=name, state=state, native_state="Deleting", reason="it is being stopped"
    )  # fmt: skip


def _failed(name: str, native: str, row: Row, told: Condition) -> RunStatus:
    words = " ".join(told.message.split())[:400]
    reason = row.sentence.replace("{}", words) if words else row.sentence.replace(": {}", "")
    return RunStatus(
        name=name, state=RunState.FAILED, native_state=native, reason=reason, failure=row.failure
    )


def _rank(word: PodWord) -> tuple[bool, bool, int]:
    """Causes before consequences: what the engine saw, then exit codes, then those that follow from another's."""
    return (word.exit_code in _CONSEQUENCES, word.failure is None, word.index)


def _alive(job: TrainJob, pods: Sequence[PodWord], nodes: int) -> tuple[RunState, str]:
    if job.metadata.deletion_timestamp is not None:
        return RunState.STARTING, "somebody deleted it"
    suspended = condition(job.status.conditions, "Suspended")
    held = job.spec.suspend or (suspended is not None and suspended.status == "True")
    if held and not any(word.alive for word in pods):
        queue = (job.metadata.labels or {}).get(QUEUE)
        return RunState.PENDING, f"it waits in the queue {queue}" if queue else "it is suspended"
    if not pods:
        return RunState.PENDING, "its pods are being made"
    for state in (RunState.PENDING, RunState.STARTING):
        waiting = [word for word in pods if word.state is state]
        if waiting:
            return state, waiting[0].reason
    if len({word.index for word in pods}) < nodes:
        return RunState.STARTING, f"{len(pods)} of {nodes} nodes are there"
    return RunState.RUNNING, ""
