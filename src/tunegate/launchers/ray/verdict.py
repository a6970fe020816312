"""What Ray's job table and placement groups say together of a run. Pure."""

from collections.abc import Mapping

from tunegate.launchers.ray.client import Group, RayJob
from tunegate.launchers.ray.states import GROUPS, JOBS, OVER, WAITING, Meaning, ending
from tunegate.sdk.launcher import RunState, RunStatus

_SAID_OF_ENVIRONMENTS = 300


def status(name: str, job: RayJob | None, groups: Mapping[str, Group]) -> RunStatus:
    """`groups` by the names of their runs."""
    if job is None:
        return RunStatus(name=name, state=RunState.ABSENT)
    if job.status == "FAILED":
        return _failed(name, job)
    group = groups.get(name)
    native, said = job.status, JOBS.get(job.status)
    if said is None:
        sentence = f"Ray says {job.status}, which this launcher does not know"
        said = Meaning(state=RunState.RUNNING, sentence=sentence)
    elif job.status == "RUNNING" and group is not None:
        native, said = f"RUNNING, nodes {group.state}", _by_group(group, said)
    code = 0 if job.status == "SUCCEEDED" else None
    return RunStatus(
        name=name, state=said.state, native_state=native, reason=said.sentence, exit_code=code
    )


def is_over(job: RayJob) -> bool:
    """Nothing of it runs."""
    return job.status in OVER


def _by_group(group: Group, said: Meaning) -> Meaning:
    meant = GROUPS.get(group.state, said)
    if meant.state is not RunState.PENDING:
        return meant
    word = group.stats.scheduling_state if group.stats else ""
    sentence = WAITING.get(word, meant.sentence)
    return Meaning(state=meant.state, sentence=f"{sentence} ({word})" if word else sentence)


def _failed(name: str, job: RayJob) -> RunStatus:
    code = job.driver_exit_code
    said = ending(job.error_type, code)
    reason = said.sentence
    if job.error_type == "RUNTIME_ENV_SETUP_FAILURE" and job.message:
        reason = f"{reason}: {' '.join(job.message.split())[:_SAID_OF_ENVIRONMENTS]}"
    if said.failure is not None:
        code = None
    elif code is not None and code < 0:
        code = 128 - code
    return RunStatus(
        name=name, state=said.state, native_state=f"FAILED {job.error_type or ''}".strip(),
        reason=reason, exit_code=code, failure=said.failure,
    )  # fmt: skip
