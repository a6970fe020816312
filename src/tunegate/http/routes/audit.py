"""`/audit`: what was done here, and by whom. For admins."""

from litestar import Controller, Response, get

from tunegate.contract.audit import AuditEntry, AuditHead
from tunegate.http.answers import json_answer
from tunegate.http.facade import AnyRequest, audit_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.http.query import AuditQuery, read_query

NDJSON = "application/x-ndjson"


class AuditController(Controller):
    """`/audit`."""

    path = "/audit"
    tags = ("operation",)

    @get(
        opt=Operation(
            summary="Read the audit log, oldest first",
            description=(
                "One entry per line, the very bytes that were chained: `previous` in each is the SHA-256 of the line "
                "before it, without its line feed. Go on with `after` = the last `sequence`; an empty answer is the end. "
                "An entry appears here within a second or so."
            ),
            access=Access.ADMIN,
            answers={200: Answer("The entries.", AuditEntry, (NDJSON,))},
            query=AuditQuery,
        ).opt()
    )
    async def read_audit(self, request: AnyRequest) -> Response[bytes]:
        query = read_query(request, AuditQuery)
        found = await audit_of(request).page(query.filter(), query.after, query.limit)
        body = b"".join(line + b"\n" for _, line in found)
        return Response(body, media_type=NDJSON)

    @get(
        "/head",
        opt=Operation(
            summary="The newest entry of the audit log",
            description="Noted elsewhere, its hash shows later whether anything up to it was changed: `tunegate audit verify --head`.",
            access=Access.ADMIN,
            answers={200: Answer("Its number and hash.", AuditHead)},
        ).opt(),
    )
    async def read_head(self, request: AnyRequest) -> Response[bytes]:
        return json_answer(await audit_of(request).head())
