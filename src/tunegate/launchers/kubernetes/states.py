"""What a Job says of itself, in our words: the one table. Pure."""

from tunegate.launchers.kube.names import QUEUE
from tunegate.launchers.kube.objects import Job, condition, holds
from tunegate.launchers.kube.pod_states import Row
from tunegate.launchers.kube.run_states import Workload

FAILURES: dict[str, Row] = {
    "DeadlineExceeded": Row(failure="deadline_exceeded", sentence="its time was used up"),
}
"""`reason` of the condition Failed where it is the Job's own; any other (BackoffLimitExceeded, PodFailurePolicy) is its pods' matter."""


def workload_of(job: Job) -> Workload:
    """A Job as the common reading takes it."""
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
        replaces=True,
    )


def native_state(job: Job) -> str:
    """Kubernetes' own word: the condition that is true, or how many of its pods are there."""
    if job.metadata.deletion_timestamp is not None:
        return "Deleting"
    for kind in ("Complete", "Failed", "Suspended"):
        found = holds(job.status.conditions, kind)
        if found is not None:
            return f"{kind}/{found.reason}" if found.reason not in ("", kind) else kind
    if job.spec.suspend:
        return "Suspended"
    return f"Active/{job.status.active}" if job.status.active else "Created"
