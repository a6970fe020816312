"""Names, tokens and the `Run` of an attempt. All are derived, so that a restarted gateway arrives at the same ones."""

import base64
import hashlib

from tunegate.contract.secret import Secret
from tunegate.control.observation import Situation
from tunegate.control.records import AttemptRecord, JobRecord
from tunegate.control.sealer import Sealer
from tunegate.sdk.launcher import Run

RUN_PREFIX = "tg-"
_NAME_CHARS = 20


def run_name(generation: str, uid: str, number: int) -> str:
    """`tg-<generation>-<20 of [a-z2-7]>-<number>`, at most 63 characters: valid for every engine."""
    digest = base64.b32encode(hashlib.sha256(uid.encode()).digest()).decode().lower()
    return f"{RUN_PREFIX}{generation}-{digest[:_NAME_CHARS]}-{number}"


def is_of(generation: str, name: str) -> bool:
    """Whether a run was launched in this life of the store."""
    return name.startswith(f"{RUN_PREFIX}{generation}-")


def claim_token(sealer: Sealer, attempt_id: str) -> Secret:
    """The attempt's token; only a holder of the sealer's key can derive it, and only its hash is stored."""
    digest = sealer.digest(f"claim token of {attempt_id}".encode())
    return Secret(base64.urlsafe_b64encode(digest).decode().rstrip("="))


def intended_attempt(
    job: JobRecord,
    number: int,
    *,
    generation: str,
    resume: bool,
    sealer: Sealer,
    now_ms: int,
    offline: bool = False,
) -> AttemptRecord:
    """The record that is stored before the engine hears of the run."""
    attempt_id = f"{job.uid}-{number}"
    return AttemptRecord(
        attempt_id=attempt_id,
        uid=job.uid,
        number=number,
        run_name=run_name(generation, job.uid, number),
        launcher=job.launcher,
        token_hash=sealer.token_hash(claim_token(sealer, attempt_id).reveal()),
        created_ms=now_ms,
        resume=resume,
        offline=offline,
    )


def run_of(
    now: Situation,
    attempt: AttemptRecord,
    sealer: Sealer,
    gateway_url: str,
    grant: Secret | None = None,
) -> Run:
    """What the launcher gets: the same value each time, but for the time that remains."""
    return Run(
        name=attempt.run_name,
        job_id=now.job.job_id,
        attempt=attempt.number,
        attempt_id=attempt.attempt_id,
        container=now.job.container,
        gateway_url=gateway_url,
        claim_token=claim_token(sealer, attempt.attempt_id),
        grant=grant,
        options=now.job.launcher_options,
        remaining_s=max(0.0, now.remaining_ms / 1000),
        grace_s=now.settings.grace_s,
    )
