"""Query strings as typed values: one that is misspelt is refused, as `dryrun=true` would start a real job."""

from datetime import datetime
from functools import cache
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from msgspec import Meta, inspect, structs

from tunegate.contract.base import Strict
from tunegate.contract.decode import collect
from tunegate.contract.guard import child
from tunegate.contract.problems import Problem
from tunegate.contract.request import JobId, MetadataKey, MetadataValue, Name, Status
from tunegate.contract.text import from_text
from tunegate.control.audit import AuditFilter
from tunegate.control.store.protocol import JobFilter
from tunegate.sdk.errors import TunegateError

QueryT = TypeVar("QueryT", bound=msgspec.Struct)
_MOST_PARAMETERS = 64
EntryKind = Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\.?[a-z_]{0,32}$")]
Moment = Annotated[datetime, Meta(tz=True)]
Search = Annotated[str, Meta(max_length=128, pattern=r"^[^\x00]+$")]


class NoQuery(Strict):
    """No parameters."""


class SubmitQuery(Strict):
    """`POST /train`."""

    dry_run: Annotated[
        bool, Meta(description="Check and render the job; store and launch nothing.")
    ] = False


class ListQuery(Strict):
    """`GET /train`."""

    status: Annotated[Status | None, Meta(description="Only jobs in this status.")] = None
    backend: Annotated[Name | None, Meta(description="Only jobs of this backend.")] = None
    launcher: Annotated[Name | None, Meta(description="Only jobs of this launcher.")] = None
    search: Annotated[
        Search | None,
        Meta(
            description="Only jobs with this text in their job_id or in a value of their metadata."
        ),
    ] = None
    since: Annotated[
        Moment | None, Meta(description="Only jobs made then or later (RFC 3339).")
    ] = None
    until: Annotated[Moment | None, Meta(description="Only jobs made before then (RFC 3339).")] = (
        None
    )
    metadata: Annotated[
        dict[MetadataKey, MetadataValue],
        Meta(description="Only jobs with these pairs, written metadata[key]=value."),
    ] = {}
    after: Annotated[JobId | None, Meta(description="The last job_id of the page before.")] = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Jobs per page.")] = 50

    def filter(self) -> JobFilter:
        return JobFilter(
            status=self.status,
            backend=self.backend,
            metadata=self.metadata,
            launcher=self.launcher,
            search=self.search,
            since_ms=_ms(self.since),
            until_ms=_ms(self.until),
        )


class EventsQuery(Strict):
    """`GET /train/{job_id}/events`."""

    after: Annotated[int, Meta(ge=0, description="Only events with a higher number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Events per JSON page.")] = 100
    types: Annotated[
        list[Name] | None, Meta(description="Only these types, separated by commas (JSON pages).")
    ] = None


class MetricsQuery(Strict):
    """`GET /train/{job_id}/metrics`."""

    after: Annotated[
        int, Meta(ge=0, description="Only numbers of events with a higher number.")
    ] = 0


class WebhooksQuery(Strict):
    """`GET /train/{job_id}/webhooks`."""

    after: Annotated[int, Meta(ge=0, description="Only those of events with a higher number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Webhooks per page.")] = 100


class TokensQuery(Strict):
    """`GET /tokens`."""

    tenant: Annotated[Name | None, Meta(description="Only tokens of this tenant.")] = None


class AuditQuery(Strict):
    """`GET /audit`."""

    after: Annotated[int, Meta(ge=0, description="Only entries with a higher number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Entries at most.")] = 500
    tenant: Annotated[Name | None, Meta(description="Only entries of this tenant.")] = None
    kind: Annotated[
        EntryKind | None,
        Meta(
            description="Only entries of this kind, such as `job.failed`; `job.` is all that begins so."
        ),
    ] = None
    since: Annotated[
        Moment | None, Meta(description="Only entries of then or later (RFC 3339).")
    ] = None
    until: Annotated[Moment | None, Meta(description="Only entries before then (RFC 3339).")] = None

    def filter(self) -> AuditFilter:
        return AuditFilter(
            tenant=self.tenant,
            kind=self.kind,
            since_ms=_ms(self.since),
            until_ms=_ms(self.until),
        )


class LogsQuery(Strict):
    """`GET /train/{job_id}/logs`."""

    follow: Annotated[bool, Meta(description="Go on until the job ends.")] = False
    offset: Annotated[int, Meta(ge=0, description="Start at this byte.")] = 0


def read_query(request: Request[Any, Any, Any], target: type[QueryT]) -> QueryT:
    """The request's query as `target`. Raises `invalid_parameter` with every problem."""
    values, problems = _values(request, target)
    query, more = collect(target, values, "query")
    problems += more
    if query is None or problems:
        raise TunegateError("invalid_parameter", problems=tuple(problems))
    return query


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


@cache
def _fields(target: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    return {field.name: inspect.type_info(field.type) for field in structs.fields(target)}


def _values(
    request: Request[Any, Any, Any], target: type[msgspec.Struct]
) -> tuple[dict[str, Any], list[Problem]]:
    try:
        pairs = parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise TunegateError("invalid_parameter", "The query string can't be read.") from None
    fields = _fields(target) if pairs else {}
    values: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    problems: list[Problem] = []
    for name, text in pairs:
        if name.startswith("metadata[") and name.endswith("]"):
            metadata[name[len("metadata[") : -1]] = text
        elif name in values:
            message = "the parameter stands more than once"
            problems.append(
                Problem(path=child("query", name), message=message, code="duplicate_key")
            )
        else:
            values[name] = from_text(fields[name], text) if name in fields else text
    return values | ({"metadata": metadata} if metadata else {}), problems
