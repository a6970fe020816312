"""The parts of TrainJobs, their pods and their records that are read."""

from msgspec.structs import replace

from tunegate.contract.trainer_status import TrainerStatus
from tunegate.launchers.kube.names import CONTAINER
from tunegate.launchers.kube.objects import (
    Condition,
    ContainerState,
    ContainerStatus,
    Meta,
    Pod,
    PodSpec,
    PodStatus,
    Read,
    Thing,
)
from tunegate.launchers.kubeflow.render import NODE


class TrainJobSpec(Read):
    suspend: bool = False


class ChildJobs(Read):
    """Of one job of the runtime: how many of it are how far."""

    name: str = ""
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    active: int = 0
    suspended: int = 0


class TrainJobStatus(Read):
    conditions: list[Condition] | None = None
    jobs_status: list[ChildJobs] | None = None
    trainer_status: TrainerStatus | None = None
    """What the program reported to Kubeflow's own controller, where its feature gate TrainJobStatus is on."""


class TrainJob(Thing):
    spec: TrainJobSpec = TrainJobSpec()
    status: TrainJobStatus = TrainJobStatus()


class NodeStatus(ContainerStatus):
    restart_count: int = 0
    last_state: ContainerState = ContainerState()


class NodePodStatus(Read):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] | None = None
    container_statuses: list[NodeStatus] | None = None


class NodePod(Thing):
    """A pod of a TrainJob. Runtimes may restart its container in place."""

    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()
    status: NodePodStatus = NodePodStatus()

    def as_pod(self) -> Pod:
        """As the pod of a run that is started once: its first end is its end, whatever was started after it."""
        status = self.status
        containers = [_once(one) for one in status.container_statuses or () if one.name == NODE]
        ended_before = any(one.restart_count for one in status.container_statuses or ())
        return Pod(
            metadata=self.metadata,
            spec=self.spec,
            status=PodStatus(
                phase="" if ended_before and status.phase == "Succeeded" else status.phase,
                reason=status.reason,
                message=status.message,
                conditions=status.conditions,
                container_statuses=list(containers),
            ),
        )


def _once(container: NodeStatus) -> ContainerStatus:
    ended = container.last_state.terminated if container.restart_count else None
    state = container.state if ended is None else replace(container.state, terminated=ended)
    return ContainerStatus(name=CONTAINER, ready=container.ready, state=state)
