"""What a job's runs print."""

from collections.abc import AsyncGenerator, AsyncIterator

from litestar import Controller, get
from litestar.params import FromPath
from litestar.response import Stream

from tunegate.http.facade import AnyRequest, context_of, principal_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.http.query import LogsQuery, read_query
from tunegate.http.streams import Streams


class LogController(Controller):
    """`/train/{job_id}/logs`."""

    path = "/train/{job_id:str}/logs"
    tags = ("jobs",)

    @get(
        opt=Operation(
            summary="Read a job's log",
            access=Access.READ,
            answers={200: Answer("The text.", None, ("text/plain",))},
            query=LogsQuery,
            errors=("too_many_streams",),
        ).opt()
    )
    async def read_logs(self, request: AnyRequest, job_id: FromPath[str]) -> Stream:
        query = read_query(request, LogsQuery)
        context, principal = context_of(request), principal_of(request)
        await context.jobs.get(principal, job_id)  # 404 before the answer begins
        chunks = context.jobs.logs(principal, job_id, query.follow, query.offset)
        text = _until_closed(context.streams, chunks, context.settings.stream_ping_s)
        return Stream(context.streams.open(request.scope, text), media_type="text/plain")


async def _until_closed(
    streams: Streams, chunks: AsyncIterator[bytes], idle_s: float
) -> AsyncGenerator[bytes]:
    paced = streams.paced(chunks, idle_s)
    try:
        async for chunk in paced:
            if chunk is not None:
                yield chunk
    finally:
        await paced.aclose()
