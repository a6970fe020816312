"""What a run's folder and Slurm's jobs of its name say together. Pure."""

from collections.abc import Sequence

from tunegate.contract.base import Wire
from tunegate.launchers.slurm.folder import View
from tunegate.launchers.slurm.job import MARK, SlurmJob
from tunegate.launchers.slurm.reasons import in_words
from tunegate.launchers.slurm.states import is_over, meaning
from tunegate.sdk.launcher import RunState, RunStatus

SKEW_S = 300
"""How far the clocks of gateway and cluster may be apart."""
_BY_EXIT_CODE = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
_PUT_BACK = frozenset({"REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})


class Found(Wire):
    """The job that is the run, and others of the same name that should not be."""

    job: SlurmJob | None = None
    surplus: list[SlurmJob] = []


def ours(jobs: Sequence[SlurmJob], name: str, view: View | None, user: str) -> list[SlurmJob]:
    """Jobs of this run: by name, user, digest and time of submission. Numbers are used again, so they prove nothing."""
    named = [job for job in jobs if job.name == name and job.user == user]
    if view is None:
        return [job for job in named if job.comment.startswith(MARK)]
    since_s = view.record.created_ms // 1000 - SKEW_S
    wanted = MARK + view.record.digest
    return [job for job in named if job.comment == wanted and job.submitted_s >= since_s]


def find(jobs: Sequence[SlurmJob], view: View | None) -> Found:
    """The job that started the program, and the rest of the living, which may go; before that the oldest.

    Until the program has started nobody is surplus: any job may be the one that starts it in this very moment.
    """
    if not jobs:
        return Found()
    by_age = sorted(jobs, key=lambda job: (job.submitted_s, job.job_id))
    started_by = view.started_by if view is not None else None
    living = [job for job in by_age if not is_over(job.states)]
    holder = next((job for job in by_age if job.job_id == started_by), None)
    # A job that Slurm refused as it came leaves a record too; a living one is worth more.
    job = holder or (living[0] if living and started_by is None else by_age[0])
    surplus = [other for other in living if other is not job] if started_by is not None else []
    return Found(job=job, surplus=surplus)


def begun_and_waiting(view: View | None, job: SlurmJob | None) -> bool:
    """The job has started the program, and Slurm lists it as waiting."""
    if view is None or job is None or is_over(job.states):
        return False
    return view.started_by == job.job_id and meaning(job.states).state is RunState.PENDING


def status(name: str, view: View | None, job: SlurmJob | None, *, believed: bool) -> RunStatus:
    """`believed`: Slurm has said for long that it has no such job, or that one waits which has begun."""
    if view is None:
        if job is None or is_over(job.states):
            return RunStatus(name=name, state=RunState.ABSENT)
        said = meaning(job.states)
        return _status(name, said.state, job, _sentence(job))
    if view.removing and (job is None or is_over(job.states)):
        return RunStatus(name=name, state=RunState.ABSENT)
    if job is None:
        return _without_job(name, view, believed=believed)
    if is_over(job.states):
        return _ended(name, view, job)
    said = meaning(job.states)
    if begun_and_waiting(view, job) and view.stop is None:
        return _begun_and_waiting(name, job, believed=believed)
    if view.stop is not None and said.state is RunState.RUNNING:
        return _status(name, RunState.RUNNING, job, "is being stopped")
    return _status(name, said.state, job, _sentence(job))


def _without_job(name: str, view: View, *, believed: bool) -> RunStatus:
    """Slurm does not list the job: it forgets those that ended some minutes ago."""
    if view.exit_code is not None:
        return _by_code(name, view, view.exit_code, "no longer listed")
    if view.stop is not None:
        return RunStatus(name=name, state=RunState.STOPPED, reason="stopped, as asked")
    if view.record.job_id is None and not view.started:
        return RunStatus(name=name, state=RunState.ABSENT)
    if not believed:
        state = RunState.RUNNING if view.started else RunState.PENDING
        return RunStatus(name=name, state=state, reason="Slurm does not list the job just now")
    reason = "Slurm has forgotten the job, and it left no exit code"
    return RunStatus(name=name, state=RunState.FAILED, reason=reason, failure="run_lost")


def _begun_and_waiting(name: str, job: SlurmJob, *, believed: bool) -> RunStatus:
    """The list may be older than the start, so that its word counts only when it stays; a flag is no such word."""
    if not believed and _PUT_BACK.isdisjoint(job.states):
        return _status(name, RunState.RUNNING, job, "")
    reason = "Slurm put it back into its queue; it goes on as a new attempt"
    return _status(name, RunState.FAILED, job, reason, failure="interrupted")


def _ended(name: str, view: View, job: SlurmJob) -> RunStatus:
    said = meaning(job.states)
    native = "+".join(job.states)
    if _BY_EXIT_CODE.isdisjoint(job.states):
        failure, reason = said.failure, said.sentence
        if failure == "deadline_exceeded" and view.record.capped:
            failure, reason = "interrupted", "the cluster's longest time limit ended it"
        if view.stop is not None and failure in ("interrupted", "deadline_exceeded"):
            return _status(name, RunState.STOPPED, job, "stopped, as asked", view.exit_code)
        return _status(name, said.state, job, reason, view.exit_code, failure)
    if view.exit_code is not None:
        return _by_code(name, view, view.exit_code, native)
    if view.stop is not None:
        return _status(name, RunState.STOPPED, job, "stopped, as asked")
    if "FAILED" in job.states and job.signal:
        return _status(name, RunState.FAILED, job, f"ended by signal {job.signal}", None, "killed")
    if "FAILED" in job.states and not view.started:
        reason = f"Slurm could not start it: {in_words(job.reason)}"
        return _status(name, RunState.FAILED, job, reason, None, "launch_failed")
    if "FAILED" in job.states and job.exit_code == 0:
        return _status(name, RunState.FAILED, job, "Slurm ended it", None, "killed")
    code = job.exit_code if "CANCELLED" not in job.states else None
    reason = said.sentence or f"left with exit code {code}"
    return _status(name, said.state, job, reason, code, said.failure)


def _by_code(name: str, view: View, code: int, native: str) -> RunStatus:
    """The batch script's own word, which outlives Slurm's memory."""
    if view.stop is not None:
        state, reason = RunState.STOPPED, "stopped, as asked"
    else:
        state = RunState.FAILED if code else RunState.SUCCEEDED
        reason = f"left with exit code {code}"
    return RunStatus(name=name, state=state, native_state=native, reason=reason, exit_code=code)


def _status(
    name: str,
    state: RunState,
    job: SlurmJob,
    reason: str,
    exit_code: int | None = None,
    failure: str | None = None,
) -> RunStatus:
    return RunStatus(
        name=name, state=state, native_state=f"job {job.job_id}: {'+'.join(job.states)}",
        reason=reason, exit_code=exit_code, failure=failure,
    )  # fmt: skip


def _sentence(job: SlurmJob) -> str:
    said = meaning(job.states)
    if said.state is RunState.PENDING and not said.sentence:
        return in_words(job.reason)
    return said.sentence
