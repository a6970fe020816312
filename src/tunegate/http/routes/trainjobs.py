"""Progress by Kubeflow Trainer's protocol, from programs that know no other. The token is the attempt's."""

from litestar import Controller, Response, post
from litestar.params import FromPath

from tunegate.contract.decode import decode
from tunegate.contract.guard import RequestError
from tunegate.contract.trainer_status import BODY_LIMIT_BYTES, StatusReport
from tunegate.http.answers import json_answer
from tunegate.http.auth import bearer
from tunegate.http.facade import AnyRequest, body_of, jobs_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.sdk.errors import TunegateError


class TrainJobController(Controller):
    """`/internal/namespaces/tunegate/trainjobs/{attempt_id}`; see STATUS_PATH."""

    path = "/internal/namespaces/tunegate/trainjobs/{attempt_id:str}"
    tags = ("trainer",)

    @post(
        "/status",
        status_code=200,
        opt=Operation(
            summary="Report a program's progress",
            changes="the job's events, progress and state",
            description="Kubeflow Trainer's progress protocol: any Hugging Face Trainer speaks it by itself where the "
            "three KUBEFLOW_TRAINER_SERVER_* variables are set, as launchers set them for backends that ask for it. At "
            "most one report in five seconds counts, but for the last.",
            access=Access.ATTEMPT,
            answers={200: Answer("Taken; the report again.", StatusReport)},
            body=StatusReport,
            errors=("forbidden", "rate_limited", "invalid_status"),
        ).opt(),
    )
    async def report_status(
        self, request: AnyRequest, attempt_id: FromPath[str]
    ) -> Response[bytes]:
        body = await body_of(request, BODY_LIMIT_BYTES)
        try:
            report = decode(StatusReport, body)
        except RequestError as error:
            raise TunegateError("invalid_status", error.detail, problems=error.problems) from error
        await jobs_of(request).report(attempt_id, bearer(request.headers), report)
        return json_answer(report)
