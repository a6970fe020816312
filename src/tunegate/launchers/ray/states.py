"""ONE table: what Ray says of a job, and its driver by its exit code → ours, with the failure's code and a sentence. Pure."""

from tunegate.contract.base import Wire
from tunegate.sdk.launcher import RunState


class Meaning(Wire):
    """`failure` is a code of the catalogue; None leaves the verdict to the exit code."""

    state: RunState
    sentence: str = ""
    failure: str | None = None


_P, _S, _R, _F = RunState.PENDING, RunState.STARTING, RunState.RUNNING, RunState.FAILED


def _m(state: RunState, sentence: str = "", failure: str | None = None) -> Meaning:
    return Meaning(state=state, sentence=sentence, failure=failure)


JOBS: dict[str, Meaning] = {
    "PENDING": _m(_P, "Ray has not started its driver yet"),
    "RUNNING": _m(_R),
    "STOPPED": _m(RunState.STOPPED, "stopped"),
    "SUCCEEDED": _m(RunState.SUCCEEDED, "left with exit code 0"),
    "FAILED": _m(_F),
}
"""`JobStatus`, the same from Ray 2.0 to 2.60."""

GROUPS: dict[str, Meaning] = {
    "PENDING": _m(_P, "waits for free resources"),
    "PREPARED": _m(_S, "its resources are being taken"),
    "CREATED": _m(_R),
    "REMOVED": _m(_R, "its resources are being given back"),
    "RESCHEDULING": _m(_R, "one of its nodes is gone"),
}
"""`PlacementGroupTableData.PlacementGroupState`: a driver runs while its job waits for nodes."""

WAITING: dict[str, str] = {
    "QUEUED": "waits to be looked at by Ray's scheduler",
    "FAILED_TO_COMMIT_RESOURCES": "resources that it was to get were taken by others; Ray tries again",
    "PENDING": "waits for free resources",
    "NO_RESOURCES": "waits for free resources",
    "INFEASIBLE": "no node of the cluster has what it asks for; it waits for one that does",
    "SCHEDULING_STARTED": "Ray's scheduler is looking for nodes",
    "FINISHED": "its nodes are found",
    "REMOVED": "its resources are being given back",
}
"""`PlacementGroupStats.SchedulingState` of a group that is PENDING."""

ERRORS: dict[str, Meaning] = {
    "RUNTIME_ENV_SETUP_FAILURE": _m(_F, "Ray could not make its runtime environment", "launch_failed"),
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT": _m(_F, "Ray did not start its driver in time: see launchers.ray.driver_*", "run_lost"),
    "JOB_SUPERVISOR_ACTOR_START_FAILURE": _m(_F, "Ray could not start its driver", "run_lost"),
    "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE": _m(_F, "Ray found no node for its driver: see launchers.ray.driver_*", "run_lost"),
    "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE": _m(_F, "Ray lost sight of its driver", "run_lost"),
    "JOB_SUPERVISOR_ACTOR_DIED": _m(_F, "the node of its driver is gone, or Ray ended there", "run_lost"),
    "JOB_ENTRYPOINT_COMMAND_START_ERROR": _m(_F, "Ray could not start its driver", "run_lost"),
    "JOB_ENTRYPOINT_COMMAND_ERROR": _m(_F),
}  # fmt: skip
"""`JobErrorType`; older releases give none."""

DRIVER: dict[str, tuple[int, Meaning]] = {
    "lost": (201, _m(_F, "a node of the job is gone, or Ray ended there", "run_lost")),
    "preempted": (202, _m(_F, "a node of the job was taken back", "interrupted")),
    "memory": (203, _m(_F, "a node had no memory left and the run was killed for it", "memory_exceeded")),
    "deadline": (204, _m(_F, "it ran past the time that the job had", "deadline_exceeded")),
    "parcel": (205, _m(_F, "its driver did not find what the gateway had left for it", "run_lost")),
    "command": (206, _m(_F, "its command could not be started on a node", "launch_failed")),
    "driver": (207, _m(_F, "its driver failed", "run_lost")),
    "double": (208, _m(_F, "another driver of the same run is there", "superseded")),
}  # fmt: skip
"""What the driver found out → the exit code it leaves with. A program's own exit code of these counts as 1."""

OVER = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})


def driver_codes() -> dict[str, int]:
    """For the driver."""
    return {word: code for word, (code, _) in DRIVER.items()}


def ending(error_type: str | None, code: int | None) -> Meaning:
    """What a FAILED job died of."""
    for known, said in DRIVER.values():
        if code == known:
            return said
    said = ERRORS.get(error_type or "")
    if said is not None and said.failure is not None:
        return said
    if code is None:
        return _m(_F, "Ray gives no reason", "run_lost")
    return _m(_F, f"left with exit code {code}" if code >= 0 else f"ended by signal {-code}")
