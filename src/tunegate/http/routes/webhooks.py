"""A job's webhooks: what became of them, and sending them again."""

from litestar import Controller, Response, get, post
from litestar.params import FromPath

from tunegate.contract.decode import decode
from tunegate.contract.webhooks import ReplayRequest, ReplayResult, WebhookPage
from tunegate.http.answers import json_answer
from tunegate.http.facade import AnyRequest, body_of, jobs_of, principal_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.http.query import WebhooksQuery, read_query


class WebhookController(Controller):
    """`/train/{job_id}/webhooks`."""

    path = "/train/{job_id:str}/webhooks"
    tags = ("jobs",)

    @get(
        opt=Operation(
            summary="See what became of a job's webhooks",
            description="Every one with its tries; addresses and answers are not shown.",
            access=Access.READ,
            answers={200: Answer("A page of webhooks.", WebhookPage)},
            query=WebhooksQuery,
        ).opt()
    )
    async def list_webhooks(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        query = read_query(request, WebhooksQuery)
        page = await jobs_of(request).webhooks(
            principal_of(request), job_id, query.after, query.limit
        )
        return json_answer(page)

    @post(
        "/replay",
        status_code=202,
        opt=Operation(
            summary="Send webhooks again",
            changes="webhooks wait to be sent again",
            description=(
                "Dead letters behind the newest delivered one, or those that `ids` names, in order and with all their "
                "tries. A new address may be given; it is needed once the job's own was destroyed."
            ),
            access=Access.WRITE,
            answers={202: Answer("They wait to be sent.", ReplayResult)},
            body=ReplayRequest,
            body_optional=True,
            errors=("invalid_job", "nobody_to_tell"),
        ).opt(),
    )
    async def replay_webhooks(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        body = await body_of(request)
        wanted = decode(ReplayRequest, body) if body else ReplayRequest()
        done = await jobs_of(request).replay_webhooks(principal_of(request), job_id, wanted)
        return json_answer(done, 202)
