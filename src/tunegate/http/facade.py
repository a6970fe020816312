"""What the routes ask of the control plane, and how they reach it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from litestar import Request

from tunegate.contract.attempt import ClaimGrant, ClaimRequest, EventBatch, EventReceipt
from tunegate.contract.audit import AuditHead
from tunegate.contract.job import (
    CheckpointList,
    DryRun,
    EventPage,
    FileList,
    InstalledList,
    Job,
    JobEvent,
    JobPage,
    MetricSeries,
)
from tunegate.contract.request import TrainRequest
from tunegate.contract.tokens import IssuedToken, NewToken, Rotation, TokenList
from tunegate.contract.trainer_status import StatusReport
from tunegate.contract.webhooks import ReplayRequest, ReplayResult, WebhookPage
from tunegate.control.audit import AuditFilter
from tunegate.control.principal import Principal
from tunegate.control.refusals import Refusals
from tunegate.control.store.protocol import JobFilter
from tunegate.http.body import read_body
from tunegate.http.meters import Meters
from tunegate.http.settings import ServerSettings
from tunegate.http.streams import Streams
from tunegate.sdk.errors import TunegateError

AnyRequest = Request[Any, Any, Any]


class Jobs(Protocol):
    """The service of the control plane. Everything raises TunegateError."""

    async def submit(
        self, principal: Principal, request: TrainRequest, *, pinned_backend: str | None = None
    ) -> tuple[Job, bool]: ...
    async def dry_run(
        self, principal: Principal, request: TrainRequest, pinned_backend: str | None
    ) -> DryRun: ...
    async def get(self, principal: Principal, job_id: str) -> Job: ...
    async def cancel(self, principal: Principal, job_id: str) -> Job: ...
    async def forget(self, principal: Principal, job_id: str) -> None: ...
    async def retry(
        self, principal: Principal, job_id: str, request: TrainRequest | None
    ) -> Job: ...
    async def list(
        self, principal: Principal, wanted: JobFilter, after: str | None, limit: int
    ) -> JobPage: ...
    async def events(
        self,
        principal: Principal,
        job_id: str,
        after: int,
        limit: int,
        types: Sequence[str] | None,
    ) -> EventPage: ...
    def follow_events(
        self, principal: Principal, job_id: str, after: int
    ) -> AsyncIterator[JobEvent]: ...
    async def request(self, principal: Principal, job_id: str) -> bytes: ...
    async def metrics(self, principal: Principal, job_id: str, after: int) -> MetricSeries: ...
    async def checkpoints(self, principal: Principal, job_id: str) -> CheckpointList: ...
    async def artifacts(self, principal: Principal, job_id: str) -> FileList: ...
    def logs(
        self, principal: Principal, job_id: str, follow: bool, offset: int
    ) -> AsyncIterator[bytes]: ...
    async def webhooks(
        self, principal: Principal, job_id: str, after: int, limit: int
    ) -> WebhookPage: ...
    async def replay_webhooks(
        self, principal: Principal, job_id: str, wanted: ReplayRequest
    ) -> ReplayResult: ...
    async def claim(self, attempt_id: str, token: str, request: ClaimRequest) -> ClaimGrant: ...
    async def ingest(self, attempt_id: str, token: str, batch: EventBatch) -> EventReceipt: ...
    async def report(self, attempt_id: str, token: str, report: StatusReport) -> None: ...
    def backends(self) -> InstalledList: ...
    def launchers(self) -> InstalledList: ...
    async def ready(self) -> None:
        """Raises `unavailable` when the store can't be written or a loop is dead."""
        ...


class Tokens(Protocol):
    """The keeper of tokens. Everything raises TunegateError."""

    async def issue(self, wanted: NewToken) -> IssuedToken: ...
    async def all(self, tenant: str | None = None) -> TokenList: ...
    async def rotate(self, token_id: str, rotation: Rotation) -> IssuedToken: ...
    async def revoke(self, token_id: str) -> None: ...


class Audit(Protocol):
    """The keeper of the audit log."""

    refusals: Refusals

    async def head(self) -> AuditHead: ...
    async def page(
        self, wanted: AuditFilter, after: int, limit: int
    ) -> list[tuple[int, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """All that a route may need, found with `context_of`."""

    jobs: Jobs
    settings: ServerSettings
    streams: Streams
    meters: Meters
    tokens: Tokens | None = None
    audit: Audit | None = None


def context_of(request: AnyRequest) -> Context:
    return cast("Context", request.app.state.context)


def jobs_of(request: AnyRequest) -> Jobs:
    return context_of(request).jobs


def tokens_of(request: AnyRequest) -> Tokens:
    keeper = context_of(request).tokens
    if keeper is None:
        raise TunegateError("not_found")
    return keeper


def audit_of(request: AnyRequest) -> Audit:
    keeper = context_of(request).audit
    if keeper is None:
        raise TunegateError("not_found")
    return keeper


def principal_of(request: AnyRequest) -> Principal:
    """Who calls; the guard has put it there."""
    return cast("Principal", request.scope["state"]["principal"])


async def body_of(request: AnyRequest, limit_bytes: int | None = None) -> bytes:
    """The body, within the operator's limits or the given one."""
    settings = context_of(request).settings
    return await read_body(
        request, limit_bytes or settings.body_limit_bytes, settings.body_deadline_s
    )
