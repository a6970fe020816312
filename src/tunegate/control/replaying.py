"""What became of a job's webhooks, and sending them again."""

import msgspec

from tunegate.contract.problems import Problem
from tunegate.contract.secret import Secret
from tunegate.contract.webhooks import (
    ReplayRequest,
    ReplayResult,
    WebhookDelivery,
    WebhookPage,
    WebhookTry,
)
from tunegate.control.addresses import AddressRules, webhook_problem
from tunegate.control.context import ControlContext
from tunegate.control.principal import Principal
from tunegate.control.reading import find
from tunegate.control.sealed import SealedCallbacks, open_callbacks, seal_callbacks
from tunegate.control.store.protocol import Change, Sent
from tunegate.control.timestamps import rfc3339
from tunegate.sdk.errors import TunegateError

_TRIES = 16


async def history(
    context: ControlContext, principal: Principal, job_id: str, after: int, limit: int
) -> WebhookPage:
    """The job's webhooks from behind event `after`, oldest first."""
    job = await find(context, principal, job_id)
    found = await context.store.read_deliveries(job.uid, after, limit + 1)
    return WebhookPage(data=[_view(sent) for sent in found[:limit]], has_more=len(found) > limit)


async def replay(
    context: ControlContext, principal: Principal, job_id: str, wanted: ReplayRequest
) -> ReplayResult:
    """Let webhooks that ended wait again. Raises invalid_job, nobody_to_tell."""
    if wanted.webhook_url is not None:
        await _readdress(context, principal, job_id, wanted)
    elif wanted.auth_header is not None:
        problem = Problem(
            path="$.auth_header", message="it goes with webhook_url", code="conflicting_fields"
        )
        raise TunegateError("invalid_job", problems=(problem,))
    job = await find(context, principal, job_id)
    callbacks = await open_callbacks(context.store, context.sealer, job)
    if callbacks is None or callbacks.webhook_url is None or not job.has_webhook:
        raise TunegateError("nobody_to_tell")
    return ReplayResult(replayed=await context.store.replay(job.uid, wanted.ids))


async def _readdress(
    context: ControlContext, principal: Principal, job_id: str, wanted: ReplayRequest
) -> None:
    url = wanted.webhook_url or ""
    rules = AddressRules(context.storage, principal.uri_prefixes, context.check_url)
    problem = webhook_problem("$.webhook_url", url, rules)
    if problem is not None:
        raise TunegateError("invalid_job", problems=(problem,))
    for _ in range(_TRIES):
        job = await find(context, principal, job_id)
        had = await open_callbacks(context.store, context.sealer, job) or SealedCallbacks()
        told = msgspec.structs.replace(had, webhook_url=Secret(url), auth_header=wanted.auth_header)
        change = Change(
            uid=job.uid,
            version=job.version,
            fields={"has_webhook": True},
            sealed=await seal_callbacks(context.store, context.sealer, job, told),
        )
        if await context.store.apply(change) is not None:
            return
    raise TunegateError("unavailable", "The job changes too fast to be written.", retry_after_s=1)


def _view(sent: Sent) -> WebhookDelivery:
    waiting = sent.outcome == "waiting"
    return WebhookDelivery(
        id=sent.delivery_id,
        sequence=sent.sequence,
        final=sent.final,
        outcome=sent.outcome,
        created_at=rfc3339(sent.created_ms),
        next_try_at=rfc3339(sent.next_at_ms) if waiting else None,
        ended_at=None if sent.ended_ms is None else rfc3339(sent.ended_ms),
        tries=[WebhookTry(timestamp=rfc3339(at_ms), result=note) for at_ms, note in sent.tries],
    )
