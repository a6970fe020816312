"""Why a job waits, in words. Pure; the codes are those of squeue's column REASON."""

_WORDS = {
    "None": "waits to be looked at by Slurm's scheduler",
    "Priority": "jobs of higher priority are ahead of it",
    "Resources": "waits for free resources",
    "Reservation": "waits for its reservation",
    "Licenses": "waits for a licence",
    "Dependency": "waits for another job",
    "BeginTime": "its time to begin has not come",
    "Cleaning": "its nodes are being cleaned up",
    "Prolog": "its nodes are being made ready",
    "ReqNodeNotAvail": "nodes that it needs are down or reserved",
    "NodeDown": "a node that it needs is down",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition does not start jobs now",
    "PartitionTimeLimit": "its time limit is longer than the partition allows: set max_time_minutes",
    "PartitionNodeLimit": "it asks for more nodes than the partition allows or has",
    "PartitionConfig": "it asks for more than the partition has",
    "BadConstraints": "no node has what it asks for",
    "JobHeldUser": "it is held by its user",
    "JobHeldAdmin": "it is held by an operator of the cluster",
    "JobHoldMaxRequeue": "it is held: it was put back into the queue too often",
    "JobArrayTaskLimit": "waits for its turn in an array",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its QOS is not valid",
    "JobLaunchFailure": "it could not be started",
    "launch_failed_requeued_held": "its start failed on a node; Slurm holds it",
    "QOSNotAllowed": "its QOS is not allowed in this partition or account",
    "SystemFailure": "Slurm itself failed",
    "FrontEndDown": "a front end of the cluster is down",
    "NonZeroExitCode": "it left with an exit code",
    "ReservationDeleted": "its reservation was deleted",
    "MaxMemPerLimit": "it asks for more memory than a job may have",
}
_FAMILIES = (
    ("ReqNodeNotAvail", "nodes that it needs are down or reserved"),
    ("Nodes_required_for_job_are_DOWN", "nodes that it needs are down or reserved"),
    ("QOS", "a limit of its QOS is reached"),
    ("Assoc", "a limit of its account or user is reached"),
    ("MaxNodePer", "a limit of its account or user is reached"),
    ("MaxCpuPer", "a limit of its account or user is reached"),
    ("MaxGRESPer", "a limit of its account or user is reached"),
    ("BurstBuffer", "waits for its burst buffer"),
    ("Federation", "waits for another cluster"),
)


def in_words(reason: str) -> str:
    """`waits for free resources (Resources)`: the code stays readable for whoever knows Slurm."""
    code = reason.strip().strip("()").split(",")[0].replace(" ", "_")
    if code in _WORDS:
        said = _WORDS[code]
    else:
        said = next((words for start, words in _FAMILIES if code.startswith(start)), "")
    return f"{said} ({code})" if said else f"Slurm gives as the reason: {code or 'none'}"
