"""What a TrainJob says of itself, in our words: the one table. Pure."""

from tunegate.launchers.kube.names import QUEUE
from tunegate.launchers.kube.objects import condition, holds
from tunegate.launchers.kube.pod_states import Row
from tunegate.launchers.kube.run_states import Workload
from tunegate.launchers.kubeflow.objects import TrainJob

FAILURES: dict[str, Row] = {
    "TrainingRuntimeNotSupported": Row(failure="launch_failed", sentence="its training runtime can't be used: {}"),
    "DeadlineExceeded": Row(failure="deadline_exceeded", sentence="its time was used up"),
}  # fmt: skip
"""`reason` of the condition Failed where it is the TrainJob's own; any other (FailedJobs and the like) is its pods' matter."""


def workload_of(job: TrainJob) -> Workload:
    """A TrainJob as the common reading takes it."""
    conditions = job.status.conditions
    failure, suspended = holds(conditions, "Failed"), condition(conditions, "Suspended")
    return Workload(
        native=native_state(job),
        complete=holds(conditions, "Complete") is not None,
        failed=failure is not None,
        failure=None if failure is None else FAILURES.get(failure.reason),
        message="" if failure is None else failure.message,
        suspended=job.spec.suspend or (suspended is not None and suspended.status == "True"),
        deleting=job.metadata.deletion_timestamp is not None,
        queue=(job.metadata.labels or {}).get(QUEUE),
        report=job.status.trainer_status,
    )


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
