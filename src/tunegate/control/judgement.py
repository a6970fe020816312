"""How an attempt that is over is judged: succeeded, failed for good, or to be tried again. Pure."""

from tunegate.contract.attempt import FailedEvent, StoppedEvent, SucceededEvent
from tunegate.control.actions import Action, Finish, Recover, VerifyManifest
from tunegate.control.observation import ManifestVerdict, Situation
from tunegate.control.records import AttemptRecord, JobState
from tunegate.control.retry_budget import may_try_again
from tunegate.sdk.errors import BY_EXIT_CODE, job_error
from tunegate.sdk.launcher import RunState, RunStatus


def judge(now: Situation, attempt: AttemptRecord) -> Action:
    """The trainer's failure wins, then the engine's, then the exit code.

    Success needs the trainer's word, an engine that does not contradict it (exit 0; or it has forgotten the run), and
    a manifest that verifies. A program that only reports has succeeded when it left with 0 and its folder is not empty.
    """
    run = now.seen.run
    match now.last_word:
        case FailedEvent() as word:
            return failed(now, word.code, word.detail)
        case SucceededEvent() if run is None or run.state in (RunState.SUCCEEDED, RunState.ABSENT):
            return _by_manifest(now)
        case None if now.trusts_exit_code and run is not None:
            return _by_exit_code(now, run)
        case StoppedEvent() if run is None or run.failure is None:
            return failed(now, "interrupted")
        case _:
            return failed(now, *_by_engine(run, attempt))


def succeeded(now: Situation) -> Finish:
    """The end that everybody wants; the trainer's own sentence says what came out."""
    word = now.last_word
    if isinstance(word, SucceededEvent):
        return Finish(state=JobState.SUCCEEDED, detail=word.detail)
    count = len(now.seen.manifest.files) if now.seen.manifest is not None else 0
    detail = f"The program ended well and left {count} files" if count != 1 else ONE_FILE
    return Finish(state=JobState.SUCCEEDED, detail=detail)


def failed(now: Situation, code: str, message: str | None = None) -> Finish | Recover:
    """Another attempt where the trouble may pass and budgets allow, else the end."""
    error = job_error(code, message)
    if error.retryable and now.remaining_ms <= 0:
        error = job_error("deadline_exceeded")
    again = error.retryable and may_try_again(now.job, error.code, now.settings)
    if again and now.job.desired == "run":
        return Recover(error=error)
    return Finish(state=JobState.FAILED, detail=error.message, error=error)


def _by_manifest(now: Situation) -> Action:
    verdict = now.seen.manifest
    if verdict is None:
        return VerifyManifest()
    return _by_verdict(now, verdict, "manifest_invalid")


def _by_verdict(now: Situation, verdict: ManifestVerdict, incomplete: str) -> Action:
    if verdict.valid:
        return succeeded(now)
    return failed(now, "output_not_readable" if verdict.denied else incomplete, verdict.problem)


def _by_exit_code(now: Situation, run: RunStatus) -> Action:
    """Only codes below those of signals are the program's own, and they mean what it likes."""
    if run.state is RunState.SUCCEEDED:
        verdict = now.seen.manifest
        if verdict is None:
            return VerifyManifest()
        return _by_verdict(now, verdict, "output_missing")
    code = run.exit_code
    if run.failure is None and code is not None and 0 < code <= _SIGNALS:
        return failed(now, "program_failed", f"The program ended with exit code {code}.")
    return failed(now, *_by_engine(run, None))


def _by_engine(run: RunStatus | None, attempt: AttemptRecord | None) -> tuple[str, str | None]:
    """Code and message where the trainer left no last word that counts."""
    if run is None or run.state is RunState.ABSENT:
        return "run_lost", None
    if run.failure == "out_of_memory":
        return "memory_exceeded", run.reason or None  # engines know memory as a limit that kills
    if run.failure is not None:
        return run.failure, run.reason or None
    code = run.exit_code
    if code == 0 or run.state is RunState.SUCCEEDED:
        return "manifest_invalid", "The run ended without saying that its result is complete."
    if run.state is RunState.STOPPED and code is None:
        return "interrupted", run.reason or None
    if code is None or code < 0 or code > _SIGNALS:
        return "killed", run.reason or None
    if code not in BY_EXIT_CODE:
        return "trainer_crashed", f"The trainer ended with exit code {code}."
    spec = BY_EXIT_CODE[code]
    if spec.code == "superseded":
        return (
            "run_lost",
            "The run that held the claim vanished." if attempt and attempt.claimed_by else None,
        )
    return spec.code, None


_SIGNALS = 128
ONE_FILE = "The program ended well and left one file"
