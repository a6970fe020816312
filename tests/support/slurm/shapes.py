"""The JSON of slurmrestd, by version of its API: 38 is that of 22.05, 39 and later are alike."""

from typing import Any

from support.slurm.batch import Batch


def listed(batch: Batch, version: int) -> dict[str, Any]:
    """One of `jobs`."""
    old = version < 39
    return {
        "job_id": batch.number,
        "job_state": batch.states[0] if old else list(batch.states),
        "name": batch.name,
        "user_name": batch.user,
        "comment": batch.comment if old else batch.comment or None,
        "state_reason": batch.reason or "None",
        "submit_time": batch.submitted_s if old else _number(batch.submitted_s),
        "exit_code": _status(batch) if old else _exit(batch),
        "nodes": "node1" if "RUNNING" in batch.states else "",
    }


def submitted(number: int, version: int) -> dict[str, Any]:
    said: dict[str, Any] = {"job_id": number, "step_id": "BATCH"}
    return said | ({} if version < 39 else {"result": dict(said)})


def variables(environment: Any) -> dict[str, str]:
    """An object of old, a list of `name=value` today."""
    if isinstance(environment, dict):
        return environment
    return dict(pair.partition("=")[::2] for pair in environment)


def _number(number: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": number}


def _status(batch: Batch) -> int:
    """As wait(2) has it."""
    return (batch.code or 0) << 8 if not batch.signal else batch.signal


def _exit(batch: Batch) -> dict[str, Any]:
    signal = {"id": _number(batch.signal), "name": "KILL"} if batch.signal else {"id": {"set": False, "infinite": False, "number": 0}}  # fmt: skip
    return {"return_code": _number(batch.code or 0), "signal": signal}
