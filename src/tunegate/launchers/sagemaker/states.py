"""What SageMaker says of a training job, in our words. Pure; the one table of this launcher."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.sdk.launcher import RunState, RunStatus

_P, _S, _R = RunState.PENDING, RunState.STARTING, RunState.RUNNING

OPEN = ("InProgress", "Stopping")
"""Status of a job with which SageMaker has still something to do."""

ALIVE: dict[str, tuple[RunState, str]] = {
    "Starting": (_P, "SageMaker looks for instances"),
    "Pending": (_P, "it waits for capacity"),
    "LaunchingMLInstances": (_P, "its instances are being started"),
    "PreparingTrainingStack": (_S, "its instances are being prepared"),
    "DownloadingTrainingImage": (_S, "the image is being pulled"),
    "Downloading": (_S, "its files are being fetched"),
    "Training": (_R, ""),
    "Updating": (_R, ""),
    "Uploading": (_R, "SageMaker uploads what the container left"),
    "Stopping": (_R, "it is being stopped"),
    "Interrupted": (_P, "the spot instances were taken away before it began; it waits for others"),
    "Restarting": (_P, "it is started on other instances"),
}
"""Secondary status of a job in progress: state and sentence."""

STOPPED: dict[str, tuple[RunState, str | None, str]] = {
    "Stopped": (RunState.STOPPED, None, "stopped, as asked"),
    "MaxRuntimeExceeded": (RunState.FAILED, "deadline_exceeded", "stopped: its time was used up"),
    "MaxWaitTimeExceeded": (
        RunState.FAILED,
        "interrupted",
        "no spot capacity within the time that it may wait",
    ),
    "Interrupted": (RunState.FAILED, "interrupted", "the spot instances were taken away"),
}
"""Secondary status of a stopped job: state, code of the catalogue, sentence."""

FAILURES: tuple[tuple[str, str, str], ...] = (
    (r"use an instance type with more memory|out ?of ?memory", "out_of_memory", "the instance's memory did not suffice"),
    (r"CapacityError|Unable to provision|InsufficientCapacity|insufficient capacity", "run_lost", "SageMaker had no such instances free"),
    (r"spot", "interrupted", "the spot instances were taken away"),
    (r"InternalServerError|internal (server )?error|Please try again", "run_lost", "SageMaker had an error of its own"),
    (r"MaxRuntime|MaxPendingTime|maximum runtime", "deadline_exceeded", "its time was used up"),
    (r"image|ECR|CannotStartContainer|CannotPullContainer|entrypoint", "launch_failed", "the image can't be pulled or started"),
    (r"NoSuchKey|Data download|S3|AccessDenied|KMS|not authorized", "launch_failed", "the role of the training job can't do what is needed"),
    (r"hardware|node failure|instance .*(fail|unhealthy)|NCCL .*watchdog", "run_lost", "an instance failed"),
)  # fmt: skip
"""Words of a FailureReason without exit code: code of the catalogue, sentence. The first that fits."""

_EXIT_CODE = re.compile(r"exit code:? *(-?\d+)", re.IGNORECASE)
_EXPLANATION_MAX = 300


def is_open(answer: Mapping[str, Any]) -> bool:
    """Whether SageMaker has still something to do with the job of a DescribeTrainingJob."""
    return answer.get("TrainingJobStatus") in OPEN


def status_of(name: str, answer: Mapping[str, Any]) -> RunStatus:
    """The status of a run from DescribeTrainingJob."""
    status = answer.get("TrainingJobStatus", "")
    secondary = answer.get("SecondaryStatus", "")
    native = f"{status}/{secondary}"
    if status == "Completed":
        return RunStatus(name=name, state=RunState.SUCCEEDED, native_state=native, exit_code=0)
    if status == "Failed":
        return _failed(name, native, answer.get("FailureReason") or "")
    if status in ("Stopped", "Deleting"):
        state, failure, reason = STOPPED.get(secondary, STOPPED["Stopped"])
        return RunStatus(
            name=name, state=state, native_state=native, reason=reason, failure=failure
        )
    if was_interrupted(answer.get("SecondaryStatusTransitions", ())):
        # SageMaker would start it anew under its old claim; another attempt goes on from the last checkpoint.
        state, failure, reason = STOPPED["Interrupted"]
        return RunStatus(
            name=name, state=state, native_state=native, reason=reason, failure=failure
        )
    state, reason = ALIVE.get(secondary, (_R if status == "Stopping" else _P, ""))
    return RunStatus(name=name, state=state, native_state=native, reason=reason)


def was_interrupted(transitions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether spot instances were taken away from a run that had begun."""
    seen = [one.get("Status", "") for one in transitions]
    begun = seen.index("Training") if "Training" in seen else len(seen)
    return any(word in ("Interrupted", "Restarting") for word in seen[begun:])


def _failed(name: str, native: str, explanation: str) -> RunStatus:
    exit_code, failure, reason = None, None, explanation[:_EXPLANATION_MAX]
    if (match := _EXIT_CODE.search(explanation)) is not None:
        exit_code, reason = int(match[1]), f"left with exit code {match[1]}"
    else:
        fitting = (line for line in FAILURES if re.search(line[0], explanation, re.IGNORECASE))
        _, failure, sentence = next(fitting, (None, "run_lost", "SageMaker says that it failed"))
        reason = f"{sentence}: {reason}" if reason else sentence
    return RunStatus(
        name=name,
        state=RunState.FAILED,
        native_state=native,
        reason=reason,
        exit_code=exit_code,
        failure=failure,
    )
