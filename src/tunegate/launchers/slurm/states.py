"""ONE table: Slurm's states and flags → ours, with the failure's code and a sentence. Pure.

From `slurm.h` and the manual of squeue, 22.05 to 25.05. A job has one base state and any number of flags; a flag says
more than the base.
"""

from collections.abc import Iterable

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


FLAGS: dict[str, Meaning | None] = {
    "COMPLETING": _m(_R, "its processes are being ended"),
    "STAGE_OUT": _m(_R, "its data are being moved out"),
    "LAUNCH_FAILED": _m(_P, "its start failed on a node; Slurm holds it"),
    "RECONFIG_FAIL": _m(_P, "its node could not be made ready"),
    "CONFIGURING": _m(_S, "its nodes are being made ready"),
    "POWER_UP_NODE": _m(_S, "its nodes are being switched on"),
    "REQUEUE_HOLD": _m(_P, "it was put back into the queue and is held"),
    "SPECIAL_EXIT": _m(_P, "it was put back into the queue and is held"),
    "REQUEUED": _m(_P, "it was put back into the queue"),
    "REQUEUE_FED": _m(_P, "it is moved between clusters"),
    "RESV_DEL_HOLD": _m(_P, "its reservation was deleted; it is held"),
    "REVOKED": _m(_F, "another cluster of the federation took it", "interrupted"),
    "STOPPED": _m(_R, "it was stopped by an operator and keeps its nodes"),
    "SIGNALING": _m(_R),
    "RESIZING": _m(_R, "its size is being changed"),
    "STEPMGR_ENABLED": None,
    "EXPEDITING": None,
    "UPDATE_DB": None,
}
"""In the order in which they count; None says nothing of the run."""

BASE: dict[str, Meaning] = {
    "PENDING": _m(_P),
    "RUNNING": _m(_R),
    "SUSPENDED": _m(_R, "Slurm suspended it; it keeps its place"),
    "COMPLETED": _m(RunState.SUCCEEDED, "left with exit code 0"),
    "CANCELLED": _m(_F, "cancelled in Slurm, not by the gateway", "interrupted"),
    "FAILED": _m(_F),
    "TIMEOUT": _m(_F, "Slurm's time limit ended it", "deadline_exceeded"),
    "NODE_FAIL": _m(_F, "a node of the job failed", "run_lost"),
    "PREEMPTED": _m(_F, "a job of higher priority took its place", "interrupted"),
    "BOOT_FAIL": _m(_F, "its nodes could not be started", "run_lost"),
    "DEADLINE": _m(_F, "it could not end before its deadline", "deadline_exceeded"),
    "OUT_OF_MEMORY": _m(_F, "the memory that the job asked for did not suffice", "out_of_memory"),
}
ALIASES = {
    "REQUEUE": "REQUEUED",
    "SPECIAL": "SPECIAL_EXIT",
    "NODE_FAILED": "NODE_FAIL",
    "OUT_OF_ME": "OUT_OF_MEMORY",
}
ENDED = frozenset({"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY"})  # fmt: skip
BUSY = frozenset({"COMPLETING", "STAGE_OUT", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "REQUEUE_FED"})  # fmt: skip
"""With one of these an ended job is not over."""


def normal(words: Iterable[str]) -> tuple[str, ...]:
    """`CANCELLED by 1000` and `CANCELLED+` are CANCELLED."""
    first = (word.split()[0].rstrip("+").upper() for word in words if word.strip())
    return tuple(ALIASES.get(word, word) for word in first)


def meaning(states: tuple[str, ...]) -> Meaning:
    """What a job's states say together. A word that nobody knows changes nothing: the job goes on."""
    for flag, said in FLAGS.items():
        if flag in states and said is not None:
            return said
    for word in states:
        if word in BASE:
            return BASE[word]
    return _m(_R, f"Slurm says {' '.join(states) or 'nothing'}, which this launcher does not know")


def is_over(states: tuple[str, ...]) -> bool:
    """Nothing of the job runs or will run."""
    return "REVOKED" in states or (not ENDED.isdisjoint(states) and BUSY.isdisjoint(states))


def is_waiting(states: tuple[str, ...]) -> bool:
    """No process of it has been started: it can be taken out of the queue."""
    return meaning(states).state is RunState.PENDING
