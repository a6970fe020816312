"""A job's event log: a stream that can be taken up again, or pages."""

from litestar import Controller, Response, get
from litestar.params import FromPath
from litestar.response import Stream

from tunegate.contract.job import TERMINAL, EventPage
from tunegate.http.answers import json_answer
from tunegate.http.facade import AnyRequest, context_of, principal_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.http.query import EventsQuery, read_query
from tunegate.http.sse import MEDIA_TYPE, event_stream
from tunegate.sdk.errors import TunegateError


class EventController(Controller):
    """`/train/{job_id}/events`."""

    path = "/train/{job_id:str}/events"
    tags = ("jobs",)

    @get(
        opt=Operation(
            summary="Follow a job's events, or read a page of them",
            description=(
                "Server-sent events by default: the id is the event's number, `Last-Event-ID` (or `after`) replays what "
                "was missed, the stream ends after the final event, and 204 says that nothing will come any more. "
                "A JSON page with `Accept: application/json`."
            ),
            access=Access.READ,
            answers={
                200: Answer("The events.", EventPage, ("application/json", MEDIA_TYPE)),
                204: Answer("The job is over and all its events were seen."),
            },
            query=EventsQuery,
            errors=("too_many_streams",),
        ).opt()
    )
    async def follow_events(
        self, request: AnyRequest, job_id: FromPath[str]
    ) -> Response[bytes] | Stream:
        query = read_query(request, EventsQuery)
        context, principal = context_of(request), principal_of(request)
        accept = request.headers.get("accept", "")
        if "application/json" in accept and MEDIA_TYPE not in accept:
            page = await context.jobs.events(
                principal, job_id, query.after, query.limit, query.types
            )
            return json_answer(page)
        after = _last_seen(request, query)
        job = await context.jobs.get(principal, job_id)
        if job.status in TERMINAL:
            rest = await context.jobs.events(principal, job_id, after, 1, None)
            if not rest.data:
                return Response(b"", status_code=204)
        events = context.jobs.follow_events(principal, job_id, after)
        frames = event_stream(context.streams, events, context.settings.stream_ping_s)
        return Stream(context.streams.open(request.scope, frames), media_type=MEDIA_TYPE)


def _last_seen(request: AnyRequest, query: EventsQuery) -> int:
    """What the client has: the header that browsers send by themselves wins over the query."""
    given = request.headers.get("last-event-id", "")
    if not given:
        return query.after
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise TunegateError("invalid_parameter", "Last-Event-ID is the number of an event.")
    return int(given)
