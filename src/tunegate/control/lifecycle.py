"""`decide`: what to do next for a job. Pure; with `stopping`, `judgement` and `states` it holds every rule of a job's life."""

from tunegate.control.actions import Absorb, Action, Launch, Move, Stop, Submit, Wait
from tunegate.control.judgement import failed, judge
from tunegate.control.observation import Situation
from tunegate.control.pacing import (
    is_settling,
    later,
    patiently,
    recovery_delay_s,
    soon,
    surely_absent,
)
from tunegate.control.records import FINAL, AttemptRecord, JobState
from tunegate.control.states import furthest
from tunegate.control.stopping import after_the_end, clean_up, stopped, stopping
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import FINISHED, RunState, RunStatus

_STATE_OF_RUN = {
    RunState.PENDING: JobState.PENDING,
    RunState.STARTING: JobState.STARTING,
    RunState.RUNNING: JobState.STARTING,
}
_STATE_OF_FOREIGN_RUN = {
    **_STATE_OF_RUN,
    RunState.RUNNING: JobState.RUNNING,
    RunState.SUCCEEDED: JobState.RUNNING,
}
"""A program that need not speak has started when its engine says so."""
_PHASES_OF_CONTROL = frozenset({"queued", "launching", "pending", "starting", "recovering"})


def decide(now: Situation) -> Action:
    """The next step for a job. Trouble of an engine's API never ends or restarts anything."""
    if now.job.state in FINAL:
        return after_the_end(now)
    if now.attempt is None or now.attempt.ended_ms is not None:
        return _between_attempts(now)
    if now.seen.more_events:
        return Absorb()
    if now.job.state is JobState.STOPPING:
        return stopping(now, now.attempt)
    reason = now.stop_reason
    if reason is not None:
        return Stop(reason=reason)
    return _with_run(now, now.attempt)


def _between_attempts(now: Situation) -> Action:
    attempt = now.attempt
    reason = now.stop_reason
    if reason is not None:
        return stopped(now, reason)
    if attempt is None:
        return Launch(number=now.job.attempt + 1, resume=False)
    if not attempt.cleaned:
        return clean_up(now)
    not_before_ms = (attempt.ended_ms or 0) + int(recovery_delay_s(attempt) * 1000)
    if now.job.state is JobState.RECOVERING and now.now_ms < not_before_ms:
        return Wait(until_ms=not_before_ms)
    return Launch(number=now.job.attempt + 1, resume=True)


def _with_run(now: Situation, attempt: AttemptRecord) -> Action:
    run = now.seen.run
    state = _state_reached(now, attempt, run)
    if state is not now.job.state:
        return _move(now, state, run)
    if run is None:
        return later(now, now.seen.trouble)
    if run.state is RunState.ABSENT:
        if state is JobState.LAUNCHING:
            return Submit()
        return judge(now, attempt) if surely_absent(now) else soon(now)
    if run.state in FINISHED:
        return _ended(now, attempt, run)
    return _alive(now, attempt, run)


def _state_reached(now: Situation, attempt: AttemptRecord, run: RunStatus | None) -> JobState:
    """How far the attempt has come, by the engine's word and the trainer's events; never back."""
    reached = now.job.state
    if run is not None and run.state is not RunState.ABSENT:
        states = _STATE_OF_FOREIGN_RUN if now.trusts_exit_code else _STATE_OF_RUN
        reached = furthest(reached, states.get(run.state, JobState.STARTING))
    if attempt.folded_through > 0:
        uploading = now.job.phase == "uploading"
        reached = furthest(reached, JobState.UPLOADING if uploading else JobState.RUNNING)
    return reached


def _move(now: Situation, state: JobState, run: RunStatus | None) -> Move:
    job = now.job
    if state is JobState.PENDING:
        reason = (run.reason or None) if run is not None else None
        detail = f"Waiting on {job.launcher}" + (f": {reason}" if reason else "")
        return Move(state=state, phase="pending", detail=detail, reason=reason)
    if state is JobState.STARTING:
        return Move(state=state, phase="starting", detail=f"Starting on {job.launcher}")
    if job.phase in _PHASES_OF_CONTROL and now.trusts_exit_code:
        return Move(state=state, phase="training", detail=f"The program runs on {job.launcher}")
    if job.phase in _PHASES_OF_CONTROL:
        detail = f"The trainer has started on {job.launcher}"
        return Move(state=state, phase="preparing", detail=detail)
    return Move(state=state, phase=job.phase, detail=job.detail)


def _alive(now: Situation, attempt: AttemptRecord, run: RunStatus) -> Action:
    running = run.state is RunState.RUNNING
    silent = attempt.claimed_by is not None and not _is_heard(now, attempt)
    if silent and not now.trusts_exit_code:
        if running:
            return later(now, "No word from the trainer; its engine says that it runs.")
        if run.state is RunState.PENDING:
            return failed(now, "interrupted", "The engine took its place and put it back to wait.")
        lost = "The trainer fell silent and its engine says that it does not run."
        return failed(now, "run_lost", lost)
    changing = now.job.state not in (JobState.RUNNING, JobState.UPLOADING)
    reason = None if running else run.reason or None
    if run.state is RunState.PENDING and attempt.claimed_by is None:
        return Wait(until_ms=patiently(now, attempt.created_ms).until_ms, reason=reason)
    wait = soon(now) if changing or now.last_word is not None else later(now)
    return Wait(until_ms=wait.until_ms, reason=reason)


def _ended(now: Situation, attempt: AttemptRecord, run: RunStatus) -> Action:
    """The engine says that the run is over: wait for the trainer's last word, then judge."""
    if is_settling(now):
        return soon(now)
    superseded = run.exit_code == CATALOGUE["superseded"].exit_code
    lost_the_claim = superseded and not now.trusts_exit_code
    if lost_the_claim and attempt.outcome is None and _is_heard(now, attempt):
        return soon(now)  # its twin, which won the claim, is alive and well
    return judge(now, attempt)


def _is_heard(now: Situation, attempt: AttemptRecord) -> bool:
    heard_ms = attempt.last_seen_ms or attempt.claimed_ms
    return now.within(heard_ms, now.settings.heartbeat_timeout_s)
