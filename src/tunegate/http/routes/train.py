"""Jobs: submit, look, cancel, retry, forget."""

from typing import Literal

from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath

from tunegate.contract.decode import decode_request
from tunegate.contract.job import DryRun, Job, JobPage
from tunegate.contract.request import TrainRequest
from tunegate.http.answers import json_answer
from tunegate.http.facade import AnyRequest, body_of, context_of, jobs_of, principal_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.http.query import ListQuery, SubmitQuery, read_query
from tunegate.sdk.errors import TunegateError

SUBMIT_PATH = "/train"
_SUBMIT = Operation(
    summary="Submit a training job",
    changes="stores a job, which will run",
    description="The same job_id with the same body again answers 200 with the same job and launches nothing twice.",
    access=Access.WRITE,
    answers={
        201: Answer("The job was stored and will run.", Job),
        200: Answer("The job was there already, or this is the dry run that was asked for.", (Job, DryRun)),
    },
    query=SubmitQuery,
    body=TrainRequest,
    errors=("job_conflict", "invalid_job", "rate_limited", "too_many_jobs"),
)  # fmt: skip


class TrainController(Controller):
    """`/train`."""

    path = SUBMIT_PATH
    tags = ("jobs",)

    @post(opt=_SUBMIT.opt())
    async def submit_job(self, request: AnyRequest) -> Response[bytes]:
        return await submit(request, None)

    @get(
        opt=Operation(
            summary="List jobs, newest first",
            access=Access.READ,
            answers={200: Answer("A page of jobs.", JobPage)},
            query=ListQuery,
        ).opt()
    )
    async def list_jobs(self, request: AnyRequest) -> Response[bytes]:
        query = read_query(request, ListQuery)
        jobs, principal = jobs_of(request), principal_of(request)
        page = await jobs.list(principal, query.filter(), query.after, query.limit)
        return json_answer(page)

    @get(
        "/{job_id:str}",
        opt=Operation(
            summary="Look at a job",
            access=Access.READ,
            answers={200: Answer("The job.", Job)},
        ).opt(),
    )
    async def get_job(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        return json_answer(await jobs_of(request).get(principal_of(request), job_id))

    @get(
        "/{job_id:str}/request",
        opt=Operation(
            summary="Read what was asked for",
            description=(
                "The job's request as it is kept: `***` for every secret, addresses without their queries, nothing "
                "that was left out. With the secrets filled in again and a job_id of its own it is a new job."
            ),
            access=Access.READ,
            answers={200: Answer("The request.", TrainRequest)},
        ).opt(),
    )
    async def read_request(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        kept = await jobs_of(request).request(principal_of(request), job_id)
        return Response(kept, media_type="application/json")

    @post(
        "/{job_id:str}/cancel",
        status_code=200,
        opt=Operation(
            summary="Cancel a job",
            changes="the job is to stop",
            description="Idempotent; a finished job is returned as it is, with a `detail` that says so.",
            access=Access.WRITE,
            answers={200: Answer("The job.", Job)},
        ).opt(),
    )
    async def cancel_job(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        return json_answer(await jobs_of(request).cancel(principal_of(request), job_id))

    @post(
        "/{job_id:str}/retry",
        status_code=200,
        opt=Operation(
            summary="Let a failed or cancelled job go on from its last checkpoint",
            changes="the job runs again",
            description="Send the job's request again as the body when its credentials were destroyed.",
            access=Access.WRITE,
            answers={200: Answer("The job, queued again.", Job)},
            body=TrainRequest,
            body_optional=True,
            errors=(
                "job_conflict",
                "job_not_retryable",
                "secrets_gone",
                "invalid_job",
                "too_many_jobs",
            ),
        ).opt(),
    )
    async def retry_job(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        body = await body_of(request)
        again = decode_request(body) if body else None
        return json_answer(await jobs_of(request).retry(principal_of(request), job_id, again))

    @delete(
        "/{job_id:str}",
        opt=Operation(
            summary="Forget a finished job",
            changes="the job's records go",
            description="Removes its records; its artifacts stay where they are.",
            access=Access.WRITE,
            answers={204: Answer("Forgotten.")},
            errors=("job_not_finished",),
        ).opt(),
    )
    async def forget_job(self, request: AnyRequest, job_id: FromPath[str]) -> None:
        await jobs_of(request).forget(principal_of(request), job_id)


class PinnedTrainController(Controller):
    """`/{backend}/train`."""

    path = "/{backend:str}/train"
    tags = ("jobs",)

    @post(opt=_SUBMIT.opt())
    async def submit_job_to(self, request: AnyRequest, backend: FromPath[str]) -> Response[bytes]:
        installed = jobs_of(request).backends().data
        if all(entry.name != backend for entry in installed):
            raise TunegateError("backend_not_found")
        return await submit(request, backend)


async def submit(request: AnyRequest, backend: str | None) -> Response[bytes]:
    """Store the job of the body, or show what would run; `backend` is the one that the path names."""
    context, principal = context_of(request), principal_of(request)
    query = read_query(request, SubmitQuery)
    outcome: Literal["created", "repeated", "refused"] = "refused"
    try:
        wanted = decode_request(await body_of(request))
        if query.dry_run:
            return json_answer(await context.jobs.dry_run(principal, wanted, backend))
        job, created = await context.jobs.submit(principal, wanted, pinned_backend=backend)
        outcome = "created" if created else "repeated"
    finally:
        if not query.dry_run:
            context.meters.submitted(outcome)
    location = {"location": f"/train/{job.job_id}"}
    return json_answer(job, 201 if created else 200, location)
