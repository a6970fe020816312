"""What a job has measured and saved."""

from litestar import Controller, Response, get
from litestar.params import FromPath

from tunegate.contract.job import CheckpointList, FileList, MetricSeries
from tunegate.http.answers import json_answer
from tunegate.http.facade import AnyRequest, jobs_of, principal_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.http.query import MetricsQuery, read_query


class ArtifactController(Controller):
    """`/train/{job_id}/metrics`, `/checkpoints`, `/artifacts`."""

    path = "/train/{job_id:str}"
    tags = ("results",)

    @get(
        "/metrics",
        opt=Operation(
            summary="Read a job's series of numbers",
            access=Access.READ,
            answers={200: Answer("Loss, learning rate and so on, by step.", MetricSeries)},
            query=MetricsQuery,
        ).opt(),
    )
    async def read_metrics(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        query = read_query(request, MetricsQuery)
        jobs, principal = jobs_of(request), principal_of(request)
        return json_answer(await jobs.metrics(principal, job_id, query.after))

    @get(
        "/checkpoints",
        opt=Operation(
            summary="List a job's checkpoints",
            access=Access.READ,
            answers={200: Answer("Complete checkpoints.", CheckpointList)},
        ).opt(),
    )
    async def list_checkpoints(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        return json_answer(await jobs_of(request).checkpoints(principal_of(request), job_id))

    @get(
        "/artifacts",
        opt=Operation(
            summary="List a job's results",
            access=Access.READ,
            answers={200: Answer("Files, with links where the store has them.", FileList)},
        ).opt(),
    )
    async def list_artifacts(self, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
        return json_answer(await jobs_of(request).artifacts(principal_of(request), job_id))
