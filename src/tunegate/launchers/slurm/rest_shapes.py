"""How releases of slurmrestd write a job, from and to JSON. Pure.

v0.0.38 (22.05): plain numbers, `environment` an object, one word for the state, exit codes as wait(2) gives them.
v0.0.39 (23.02) and later: numbers as {set, infinite, number}, lists for states, flags and the environment.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tunegate.contract.base import Wire
from tunegate.launchers.slurm.commands import wait_status
from tunegate.launchers.slurm.job import SlurmJob
from tunegate.launchers.slurm.request import JobRequest
from tunegate.launchers.slurm.states import normal
from tunegate.sdk.launcher import EngineUnavailable, LaunchRefused

OLDEST, NEWEST = 38, 45
"""Versions that the encoders were written for."""


class Trouble(Wire):
    """One of `errors`; 22.05 calls the number `error_number`, and its text may be in either field."""

    error: str | None = None
    description: str | None = None
    error_number: int | None = None


class Listed(Wire):
    """One of `jobs`, as far as we read it."""

    job_id: int
    job_state: str | list[str] = ""
    name: str | None = None
    user_name: str | None = None
    comment: Any = None
    state_reason: str | None = None
    submit_time: Any = None
    exit_code: Any = None
    nodes: str | None = None


class Answer(Wire):
    """Of every call."""

    errors: list[Trouble] = []
    jobs: list[Listed] = []
    job_id: int | None = None
    result: dict[str, Any] | None = None


def choose_version(document: Mapping[str, Any]) -> int:
    """The newest version that both sides know, of an OpenAPI document. One newer than all is written as the newest."""
    prefix = "/slurm/v0.0."
    submits = (path for path in document.get("paths", {}) if path.endswith("/job/submit"))
    offered = {int(p.removeprefix(prefix).split("/")[0]) for p in submits if p.startswith(prefix)}
    usable = [version for version in offered if version >= OLDEST]
    if not usable:
        raise EngineUnavailable("slurmrestd serves no version that this launcher knows")
    known = [version for version in usable if version <= NEWEST]
    return max(known) if known else min(usable)


def encode(request: JobRequest, version: int) -> dict[str, Any]:
    """The body of `job/submit`."""
    job = _old(request) if version < 39 else _new(request, version)
    job = {key: value for key, value in job.items() if value is not None}
    return {"script": request.script, "job": job}


def _common(request: JobRequest) -> dict[str, Any]:
    return {
        "name": request.name, "comment": request.comment, "current_working_directory": request.folder,
        "standard_output": request.output, "tasks": request.nodes, "tasks_per_node": 1,
        "cpus_per_task": request.cpus, "requeue": False, "partition": request.partition,
        "account": request.account, "qos": request.qos, "constraints": request.constraint,
        "reservation": request.reservation, "licenses": request.licenses, "nice": request.nice,
    }  # fmt: skip


def _old(request: JobRequest) -> dict[str, Any]:
    if request.nodelist or request.exclude:
        raise LaunchRefused("slurmrestd of 22.05 can't name or exclude nodes: use `constraint`")
    return _common(request) | {
        "environment": request.env, "nodes": [request.nodes, request.nodes],
        "time_limit": request.time_limit_min, "memory_per_node": request.memory_mb, "gres": request.gres,
        "signal": f"TERM@{request.warn_s}",  # to the steps; 22.05 refuses `B:` here
        "open_mode": "append",
        "exclusive": "exclusive" if request.exclusive else None,
    }  # fmt: skip


def _new(request: JobRequest, version: int) -> dict[str, Any]:
    return _common(request) | {
        "environment": [f"{name}={value}" for name, value in sorted(request.env.items())],
        "nodes": str(request.nodes),
        "time_limit": _set(request.time_limit_min),
        "memory_per_node": None if request.memory_mb is None else _set(request.memory_mb),
        "tres_per_node": f"gres/{request.gres}" if request.gres else None,
        "kill_warning_signal": "TERM", "kill_warning_flags": ["BATCH_JOB"],
        "kill_warning_delay": _set(request.warn_s), "open_mode": ["APPEND"],
        "required_nodes": [request.nodelist] if request.nodelist else None,
        "excluded_nodes": [request.exclude] if request.exclude else None,
        ("exclusive" if version < 40 else "shared"): _alone(version) if request.exclusive else None,
    }  # fmt: skip


def _alone(version: int) -> list[str]:
    return ["true"] if version < 40 else ["none"]


def decode(body: bytes) -> Answer:
    """Raises EngineUnavailable for what is no answer of slurmrestd."""
    try:
        return msgspec.json.decode(body, type=Answer)
    except msgspec.MsgspecError:
        raise EngineUnavailable("slurmrestd gave an answer that can't be read") from None


def job_of(listed: Listed) -> SlurmJob:
    words = [listed.job_state] if isinstance(listed.job_state, str) else listed.job_state
    code, signal = _exit(listed.exit_code)
    return SlurmJob(
        job_id=listed.job_id, name=listed.name or "", user=listed.user_name or "",
        comment=listed.comment if isinstance(listed.comment, str) else "", states=normal(words),
        submitted_s=_number(listed.submit_time) or 0, reason=listed.state_reason or "",
        exit_code=code, signal=signal, nodes=listed.nodes or "",
    )  # fmt: skip


def complaints(answer: Answer) -> str:
    """All errors in one sentence, "" where there is none."""
    said = [(e.error, e.description) for e in answer.errors]
    return "; ".join(" ".join(part for part in pair if part) for pair in said if any(pair))


def _exit(value: Any) -> tuple[int | None, int | None]:
    if isinstance(value, int):
        return wait_status(value)
    if not isinstance(value, Mapping):
        return None, None
    signal = value.get("signal") or {}
    number = _number(signal.get("id", signal.get("signal_id")))
    return (None, number) if number else (_number(value.get("return_code")), None)


def _number(value: Any) -> int | None:
    if isinstance(value, Mapping):
        number = value.get("number")
        return number if value.get("set") and isinstance(number, int) else None
    return value if isinstance(value, int) else None


def _set(number: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": number}


def named(jobs: Sequence[SlurmJob], names: Sequence[str] | None, user: str) -> list[SlurmJob]:
    """Slurmrestd has no filters."""
    wanted = None if names is None else set(names)
    return [job for job in jobs if job.user == user and (wanted is None or job.name in wanted)]
