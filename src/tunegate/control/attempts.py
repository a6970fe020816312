"""The trainer's side of the house: one claim per attempt, then numbered events."""

import hmac
import math
from collections.abc import Iterable

from tunegate.contract.attempt import (
    ClaimGrant,
    ClaimRequest,
    EventBatch,
    EventReceipt,
    MetricsEvent,
    ProgressEvent,
    SucceededEvent,
    TrainerEvent,
)
from tunegate.contract.problems import Problem
from tunegate.control.context import ControlContext
from tunegate.control.records import AttemptRecord, JobRecord
from tunegate.control.sealed import open_request, redacted
from tunegate.control.sealer import Sealer
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.resolve import trainer_secrets


async def claim(
    context: ControlContext, attempt_id: str, token: str, request: ClaimRequest
) -> ClaimGrant:
    """The fence: one run per attempt is given the secrets. Raises unauthorized, claim_refused."""
    await authenticated(context, attempt_id, token)
    claimed = await context.store.claim_attempt(attempt_id, request.run_uid)
    job, attempt = claimed.job, claimed.attempt
    if not claimed.granted or job is None or attempt is None or attempt.fence is None:
        raise TunegateError("claim_refused")
    return await grant_of(context.store, context.sealer, job, attempt, attempt.fence)


async def grant_of(
    store: JobStore, sealer: Sealer, job: JobRecord, attempt: AttemptRecord, fence: int
) -> ClaimGrant:
    """What the winner of a claim is given. Raises claim_refused."""
    full = await open_request(store, sealer, job)
    if full is None and job.has_secrets:
        raise TunegateError("claim_refused", "The job's credentials are gone: it has ended.")
    return ClaimGrant(
        fence=fence,
        attempt=attempt.number,
        resume=attempt.resume,
        remaining_s=_remaining_s(job, attempt, store.now_ms()),
        secrets=trainer_secrets(full or redacted(job)),
        memory_kills=job.memory_kills,
    )


async def ingest(
    context: ControlContext, attempt_id: str, token: str, batch: EventBatch
) -> EventReceipt:
    """Store events. The receipt's `stop` asks the trainer to save and leave. Raises unauthorized, invalid_request."""
    attempt = await authenticated(context, attempt_id, token)
    problems = tuple(
        Problem(
            path=f"$.events[{index}].event",
            code="out_of_range",
            message="numbers must be finite, counts at least 0",
        )
        for index, event in enumerate(batch.events)
        if out_of_range(event.event)
    )
    if problems:
        raise TunegateError("invalid_request", problems=problems)
    stored = await context.store.add_trainer_events(attempt_id, batch.run_uid, batch.events)
    if stored is None:
        return EventReceipt(accepted_through=0, stop="superseded")
    job = await context.store.get_by_uid(attempt.uid)
    if job is None or job.attempt != stored.number:
        return EventReceipt(accepted_through=stored.received_through, stop="superseded")
    stop = (job.stop_reason or "cancel") if job.desired == "stop" else None
    return EventReceipt(accepted_through=stored.received_through, stop=stop)


async def authenticated(context: ControlContext, attempt_id: str, token: str) -> AttemptRecord:
    """The attempt that the token belongs to. An unknown attempt looks like a wrong token."""
    attempt = await context.store.find_attempt(attempt_id)
    presented = context.sealer.token_hash(token)
    known = attempt.token_hash if attempt is not None else bytes(len(presented))
    if not hmac.compare_digest(presented, known) or attempt is None:
        raise TunegateError("unauthorized")
    return attempt


def _remaining_s(job: JobRecord, attempt: AttemptRecord, now_ms: int) -> float:
    used_ms = job.used_ms + max(0, now_ms - (attempt.claimed_ms or now_ms))
    return max(0, job.budget_ms - used_ms) / 1000


def _numbers(event: TrainerEvent) -> Iterable[float]:
    match event:
        case ProgressEvent():
            yield from (event.step, event.total_steps, event.epoch, event.tokens)
            yield from (event.tokens_per_s, event.eta_s or 0)
        case MetricsEvent():
            yield event.step
            yield from (abs(value) for value in event.values.values())
        case SucceededEvent():
            yield from (abs(value) for value in event.metrics.values())
        case _:
            return


def out_of_range(event: TrainerEvent) -> bool:
    """Whether an event holds a number that can't be."""
    return not all(_sane(number) for number in _numbers(event))


def _sane(number: float) -> bool:
    return math.isfinite(number) and number >= 0
