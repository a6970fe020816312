"""The trainer's own two calls. Its token is the attempt's and is checked by the control plane."""

import msgspec
from litestar import Controller, Response, post
from litestar.params import FromPath

from tunegate.contract.attempt import ClaimGrant, ClaimRequest, EventBatch, EventReceipt
from tunegate.contract.decode import decode
from tunegate.contract.secret import reveal_hook
from tunegate.http.answers import json_answer
from tunegate.http.auth import bearer
from tunegate.http.facade import AnyRequest, body_of, jobs_of
from tunegate.http.operation import Access, Answer, Operation

_BATCH_LIMIT_BYTES = 4 * 2**20
"""500 events with the longest texts."""


class AttemptController(Controller):
    """`/internal/attempts/{attempt_id}`."""

    path = "/internal/attempts/{attempt_id:str}"
    tags = ("trainer",)

    @post(
        "/claim",
        status_code=200,
        opt=Operation(
            summary="Claim an attempt",
            changes="the attempt belongs to this run",
            description="The trainer's first act: the winner is given the job's credentials, every other run is refused.",
            access=Access.ATTEMPT,
            answers={200: Answer("Granted; holds the credentials.", ClaimGrant)},
            body=ClaimRequest,
            errors=("claim_refused",),
        ).opt(),
    )
    async def claim_attempt(
        self, request: AnyRequest, attempt_id: FromPath[str]
    ) -> Response[bytes]:
        wanted = decode(ClaimRequest, await body_of(request))
        grant = await jobs_of(request).claim(attempt_id, bearer(request.headers), wanted)
        # One of the two places that carry secrets in clear: the winner needs them.
        body = msgspec.json.encode(grant, enc_hook=reveal_hook)
        return Response(body, media_type="application/json")

    @post(
        "/events",
        status_code=200,
        opt=Operation(
            summary="Push a trainer's events",
            changes="the job's events, progress and state",
            access=Access.ATTEMPT,
            answers={200: Answer("All up to `accepted_through` are durable.", EventReceipt)},
            body=EventBatch,
            errors=("claim_refused",),
        ).opt(),
    )
    async def push_events(self, request: AnyRequest, attempt_id: FromPath[str]) -> Response[bytes]:
        batch = decode(EventBatch, await body_of(request, _BATCH_LIMIT_BYTES))
        token = bearer(request.headers)
        return json_answer(await jobs_of(request).ingest(attempt_id, token, batch))
