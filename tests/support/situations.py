"""Situations for tests of the pure rules, written as what differs from a healthy running job."""

from typing import Any

import msgspec

from support.job_samples import attempt, job
from tunegate.contract.attempt import (
    FailedEvent,
    SequencedEvent,
    StoppedEvent,
    SucceededEvent,
    TrainerEvent,
)
from tunegate.control.observation import ManifestVerdict, Observation, Situation
from tunegate.control.records import AttemptRecord, JobRecord, JobState
from tunegate.control.settings import ControlSettings
from tunegate.sdk.launcher import RunState, RunStatus

NOW_MS = 1_700_000_100_000
LONG_AGO = NOW_MS - 3_600_000
JUST_NOW = NOW_MS - 100
UNCLAIMED = {"claimed_by": None, "claimed_ms": None, "last_seen_ms": None, "folded_through": 0}
SETTINGS = ControlSettings(poll_interval_s=2.0, heartbeat_timeout_s=60.0, grace_s=120.0)

SUCCEEDED = SucceededEvent(
    manifest_uri="s3://bucket/out/job-1/manifest.json",
    manifest_sha256="0" * 64,
    detail="Trained 240 steps; eval loss 2.31 -> 1.87.",
)
FAILED = FailedEvent(code="data_invalid", detail="train.jsonl line 7 is not JSON.")
STOPPED = StoppedEvent(detail="A checkpoint of step 40 is kept.", checkpoint_step=40)
VALID = ManifestVerdict()
INVALID = ManifestVerdict(problem="A file is missing.")


def run(state: RunState, **fields: Any) -> RunStatus:
    return RunStatus(name="tg-run", state=state, **fields)


def word(event: TrainerEvent) -> SequencedEvent:
    return SequencedEvent(sequence=9, at_ms=NOW_MS, event=event)


def job_in(state: JobState, **fields: Any) -> JobRecord:
    attempt_number = 0 if state is JobState.QUEUED else 1
    plain = {"attempt": attempt_number, "phase": "training", "retries_left": 2}
    return job(state=state, **{**plain, **fields})


def attempt_of(record: JobRecord, **fields: Any) -> AttemptRecord:
    """Claimed and heard of a second ago; unclaimed before STARTING."""
    early = record.state in (JobState.LAUNCHING, JobState.PENDING, JobState.STARTING)
    claimed = {
        "claimed_by": "run-uid-1",
        "fence": 1,
        "claimed_ms": NOW_MS - 60_000,
        "last_seen_ms": NOW_MS - 1_000,
        "folded_through": 9,
        "received_through": 9,
    }
    plain = {"submitted": record.state is not JobState.LAUNCHING, **({} if early else claimed)}
    return msgspec.structs.replace(attempt(record), **{**plain, **fields})


def situation(
    state: JobState,
    *,
    run: RunStatus | None = None,
    job: dict[str, Any] | None = None,
    attempt: dict[str, Any] | None = None,
    seen: dict[str, Any] | None = None,
    has_attempt: bool = True,
    settings: ControlSettings = SETTINGS,
) -> Situation:
    """A job in `state`; `job`, `attempt` and `seen` are fields that differ."""
    record = job_in(state, **(job or {}))
    tried = attempt_of(record, **(attempt or {})) if has_attempt and record.attempt else None
    return Situation(
        job=record,
        attempt=tried,
        seen=Observation(run=run, **(seen or {})),
        now_ms=NOW_MS,
        settings=settings,
    )
