"""What a pod says of itself, in our words: the one table for all launchers of pods. Pure."""

from tunegate.contract.base import Wire
from tunegate.launchers.kube.names import CONTAINER
from tunegate.launchers.kube.objects import (
    ContainerState,
    ContainerStatus,
    Pod,
    Terminated,
    condition,
    holds,
)
from tunegate.sdk.launcher import FINISHED, RunState

SURELY_GONE_S = 60.0
"""How long after the end of its grace a pod that is still there counts as lost with its node."""
INDEX = "batch.kubernetes.io/job-completion-index"


class Row(Wire):
    """One line of the tables: a code of the catalogue (or none) and a sentence; `{}` is the engine's own message."""

    failure: str | None
    sentence: str


POD_REASONS: dict[str, Row] = {
    "Evicted": Row(failure="interrupted", sentence="its node put it out: {}"),
    "Preempting": Row(failure="interrupted", sentence="it had to make room for a run of higher priority"),
    "NodeLost": Row(failure="run_lost", sentence="its node was lost"),
    "NodeShutdown": Row(failure="interrupted", sentence="its node was shut down"),
    "Shutdown": Row(failure="interrupted", sentence="its node was shut down"),
    "Terminated": Row(failure="interrupted", sentence="its node was shut down"),
    "NodeAffinity": Row(failure="interrupted", sentence="its node changed before it could start: {}"),
    "UnexpectedAdmissionError": Row(failure="interrupted", sentence="its node could not give what it had promised: {}"),
    "DeadlineExceeded": Row(failure="deadline_exceeded", sentence="its time was used up"),
}  # fmt: skip
"""`status.reason` of a pod that failed as a whole."""

OUT_OF = "OutOf"
"""`OutOfcpu`, `OutOfnvidia.com/gpu`: the node gave the room to somebody else in the same moment."""
OUT_OF_ROW = Row(failure="interrupted", sentence="its node had no room left when it came: {}")

DISRUPTIONS: dict[str, Row] = {
    "PreemptionByScheduler": POD_REASONS["Preempting"],
    "PreemptionByKubeScheduler": POD_REASONS["Preempting"],
    "DeletionByTaintManager": Row(failure="run_lost", sentence="its node was lost or closed: {}"),
    "EvictionByEvictionAPI": Row(failure="interrupted", sentence="its node is being emptied: {}"),
    "DeletionByPodGC": Row(failure="run_lost", sentence="its node was lost: {}"),
    "TerminationByKubelet": Row(failure="interrupted", sentence="its node put it out: {}"),
}
"""Reasons of the condition DisruptionTarget."""
DISRUPTED = Row(failure="interrupted", sentence="it was disrupted: {}")

ENDS: dict[str, Row] = {
    "OOMKilled": Row(failure="out_of_memory", sentence="it used more memory than it had asked for"),
    "StartError": Row(failure="launch_failed", sentence="its command can't be started: {}"),
    "ContainerCannotRun": Row(failure="launch_failed", sentence="its command can't be started: {}"),
    "ContainerStatusUnknown": Row(failure="run_lost", sentence="its node lost sight of it"),
}
"""`reason` of a container that ended where the exit code does not tell the story."""

WAITS: dict[str, Row] = {
    "InvalidImageName": Row(failure="launch_failed", sentence="the name of its image is not valid: {}"),
    "ErrImageNeverPull": Row(failure="launch_failed", sentence="its image is not on the node and may not be pulled: {}"),
}  # fmt: skip
"""`reason` of a container that waits and never will start."""

LASTING: dict[str, Row] = {
    "ErrImagePull": Row(failure="launch_failed", sentence="its image can't be pulled: {}"),
    "ImagePullBackOff": Row(failure="launch_failed", sentence="its image can't be pulled: {}"),
    "ImageInspectError": Row(failure="launch_failed", sentence="its image can't be read: {}"),
    "RegistryUnavailable": Row(failure="launch_failed", sentence="the registry of its image does not answer: {}"),
    "CreateContainerConfigError": Row(failure="launch_failed", sentence="its container can't be configured: {}"),
    "CreateContainerError": Row(failure="launch_failed", sentence="its container can't be made: {}"),
    "RunContainerError": Row(failure="launch_failed", sentence="its container can't be started: {}"),
}  # fmt: skip
"""`reason` of a container that waits for trouble to pass; it counts as failed after `start_deadline_s`."""

UNSCHEDULED: dict[str, str] = {
    "Unschedulable": "no node can take it: {}",
    "SchedulingGated": "it is held back by a scheduling gate: {}",
}


class PodWord(Wire):
    """What one pod says. `begun`: its container has run. `exit_code` and `failure` come with FAILED."""

    index: int
    name: str
    state: RunState
    native: str
    reason: str = ""
    begun: bool = False
    exit_code: int | None = None
    failure: str | None = None

    @property
    def alive(self) -> bool:
        """It may still do something."""
        return self.state not in FINISHED


def read_pod(pod: Pod, now_s: float, start_deadline_s: float, *, deleted: bool = False) -> PodWord:
    """The word of a pod at `now_s` (seconds since 1970); `deleted`: it is gone and this was its last."""
    status, trainer = pod.status, _trainer(pod)
    ended = trainer.state.terminated
    if status.phase == "Succeeded":
        return _word(pod, RunState.SUCCEEDED, "ended well", exit_code=0)
    if ended is not None or status.phase == "Failed" or deleted:
        return _ended(pod, ended)
    grace_end = pod.metadata.deletion_timestamp
    if grace_end is not None and now_s > grace_end.timestamp() + SURELY_GONE_S:
        return _word(pod, RunState.FAILED, "its node does not answer", failure="run_lost")
    if trainer.state.running is not None:
        return _running(pod, trainer)
    return _not_begun(pod, trainer.state, now_s, start_deadline_s)


def _ended(pod: Pod, ended: Terminated | None) -> PodWord:
    """A pod that failed, ended, or was deleted: the pod's own reason tells more than the container's."""
    code = None if ended is None else ended.exit_code
    row, message = _row_of_end(pod, ended)
    if row is not None:
        reason = _say(row.sentence, message)
        return _word(pod, RunState.FAILED, reason, exit_code=code, failure=row.failure)
    if ended is None:
        reason = "its pod was deleted" if pod.status.phase != "Failed" else "its pod failed"
        return _word(pod, RunState.FAILED, reason, failure="interrupted")
    if code == 0:
        return _word(pod, RunState.SUCCEEDED, "ended well", exit_code=0)
    return _word(pod, RunState.FAILED, f"left with exit code {code}", exit_code=code)


def _row_of_end(pod: Pod, ended: Terminated | None) -> tuple[Row | None, str]:
    status = pod.status
    if ended is not None and ended.reason == "OOMKilled":
        return ENDS["OOMKilled"], ""
    disruption = holds(status.conditions, "DisruptionTarget")
    if status.reason in POD_REASONS:
        return POD_REASONS[status.reason], status.message
    if status.reason.startswith(OUT_OF):
        return OUT_OF_ROW, status.message
    if disruption is not None and (ended is None or ended.exit_code != 0):
        return DISRUPTIONS.get(disruption.reason, DISRUPTED), disruption.message
    if ended is not None and ended.reason in ENDS:
        return ENDS[ended.reason], ended.message
    return None, ""


def _running(pod: Pod, trainer: ContainerStatus) -> PodWord:
    if pod.metadata.deletion_timestamp is not None:
        return _word(pod, RunState.RUNNING, "it is being stopped")
    ready = condition(pod.status.conditions, "Ready")
    if trainer.ready and ready is not None and ready.status != "True":
        # The node's controller says so, over the last word of the node itself.
        return _word(pod, RunState.STARTING, f"its node {pod.spec.node_name} does not answer")
    return _word(pod, RunState.RUNNING)


def _not_begun(pod: Pod, state: ContainerState, now_s: float, start_deadline_s: float) -> PodWord:
    if pod.metadata.deletion_timestamp is not None:
        return _word(pod, RunState.STARTING, "it is being stopped")
    scheduled = condition(pod.status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status != "True":
        sentence = UNSCHEDULED.get(scheduled.reason, "it has no node yet: {}")
        return _word(pod, RunState.PENDING, _say(sentence, scheduled.message))
    if not pod.spec.node_name:
        return _word(pod, RunState.PENDING, "it waits for a node")
    waiting = state.waiting
    reason, message = (waiting.reason, waiting.message) if waiting else ("", "")
    if reason in WAITS:
        row = WAITS[reason]
        return _word(pod, RunState.FAILED, _say(row.sentence, message), failure=row.failure)
    if reason in LASTING:
        row, since = LASTING[reason], _scheduled_s(pod)
        sentence = _say(row.sentence, message)
        if since is not None and now_s > since + start_deadline_s:
            return _word(pod, RunState.FAILED, sentence, failure=row.failure)
        return _word(pod, RunState.STARTING, sentence)
    return _word(pod, RunState.STARTING, "its container is being made")


def _scheduled_s(pod: Pod) -> float | None:
    scheduled = condition(pod.status.conditions, "PodScheduled")
    since = scheduled.last_transition_time if scheduled else None
    since = since or pod.metadata.creation_timestamp
    return None if since is None else since.timestamp()


def _word(
    pod: Pod,
    state: RunState,
    reason: str = "",
    *,
    exit_code: int | None = None,
    failure: str | None = None,
) -> PodWord:
    trainer = _trainer(pod).state
    return PodWord(
        index=index_of(pod),
        name=pod.metadata.name,
        state=state,
        native=pod.status.reason or pod.status.phase or "Unknown",
        reason=reason,
        begun=trainer.running is not None or trainer.terminated is not None,
        exit_code=exit_code,
        failure=failure,
    )


def index_of(pod: Pod) -> int:
    """The node's number among those of the run; 0 where there is one."""
    index = (pod.metadata.annotations or {}).get(INDEX, "0")
    return int(index) if index.isdigit() else 0


def _trainer(pod: Pod) -> ContainerStatus:
    statuses = pod.status.container_statuses or ()
    return next((one for one in statuses if one.name == CONTAINER), ContainerStatus())


def _say(sentence: str, message: str) -> str:
    """The sentence with the engine's message in it, on one line and not endless."""
    words = " ".join(message.split())[:400]
    return sentence.replace("{}", words) if words else sentence.replace(": {}", "")
