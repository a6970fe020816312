"""`AsyncClient`: the same as `Client`, for event loops."""

import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self, TypeVar, cast

import httpx

from tunegate import __version__
from tunegate.client import calls, profile
from tunegate.client import transport as wire
from tunegate.client.acting import AsyncActor
from tunegate.client.calls import Request
from tunegate.client.display import Display, display_here
from tunegate.client.flows import Flows
from tunegate.client.following import follow_events, read_logs
from tunegate.client.progress import JobView
from tunegate.client.retrying import Retrying
from tunegate.client.steps import Call, Flow, Give, Stream
from tunegate.contract import job as answers
from tunegate.contract.job import Job, JobEvent
from tunegate.contract.tokens import IssuedToken, NewToken, Rotation, TokenList
from tunegate.contract.webhooks import ReplayRequest, ReplayResult, WebhookPage

T = TypeVar("T")


class AsyncClient:
    """A gateway, as a tenant sees it; an async context manager. Tasks may share it.

    Without arguments the address and the token are those of TUNEGATE_URL and TUNEGATE_TOKEN, or of `tunegate login`.
    All methods raise ApiError (the gateway refused) and GatewayUnreachable.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        retrying: Retrying | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.profile = profile.choose(url, token)
        self._http = httpx.AsyncClient(
            **wire.settings(self.profile, __version__), transport=transport
        )
        self._flows = Flows(self.profile.url, retrying or Retrying(), random.random)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def submit(self, request: Request, *, backend: str | None = None) -> Job:
        """Submit a job. The same job_id and request again gives the same job."""
        return await self._ask(calls.submit(request, backend), Job)

    async def dry_run(self, request: Request, *, backend: str | None = None) -> answers.DryRun:
        """What would run; nothing is stored or launched."""
        return await self._ask(calls.submit(request, backend, dry_run=True), answers.DryRun)

    async def get(self, job_id: str) -> Job:
        """The job as it stands."""
        return await self._ask(calls.get(calls.job(job_id)), Job)

    async def list_jobs(
        self,
        *,
        status: str | None = None,
        backend: str | None = None,
        metadata: Mapping[str, str] | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> answers.JobPage:
        """One page of jobs, newest first."""
        return await self._ask(
            calls.list_jobs(status, backend, metadata, after, limit), answers.JobPage
        )

    def jobs(
        self,
        *,
        status: str | None = None,
        backend: str | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Job]:
        """All jobs, newest first, over all pages."""
        return self._each(self._flows.jobs(status, backend, metadata, limit))

    async def cancel(self, job_id: str) -> Job:
        """Ask the job to stop."""
        return await self._ask(Call(method="POST", path=calls.job(job_id, "/cancel")), Job)

    async def retry(self, job_id: str, request: Request | None = None) -> Job:
        """Let a failed or cancelled job go on; its request is needed again once its credentials were destroyed."""
        body = None if request is None else calls.encode(request)
        path = calls.job(job_id, "/retry")
        return await self._ask(Call(method="POST", path=path, body=body, safe=False), Job)

    async def delete(self, job_id: str) -> None:
        """Forget a finished job; its artifacts stay."""
        await self._run(self._flows.forget(job_id))

    async def wait(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """The job once it is over, whatever became of it. Raises TimeoutError."""
        return await self._run(self._flows.wait(job_id, timeout_s))

    async def watch(self, job_id: str, display: Display | None = None) -> Job:
        """Show the job's progress to its end, in a notebook or on a terminal, and return the job."""
        shown = display or display_here()
        view = JobView.of(await self.get(job_id))
        shown.update(view)
        async with aclosing(self.events(job_id)) as events:
            async for event in events:
                view = view.after(event)
                shown.update(view)
        job = await self.get(job_id)
        shown.close(JobView.of(job))
        return job

    def events(self, job_id: str, *, after: int = 0) -> AsyncGenerator[JobEvent]:
        """Every event after number `after` as it happens, to the job's end; broken connections are taken up again."""
        return self._each(follow_events(self._flows, job_id, after))

    async def event_page(
        self,
        job_id: str,
        *,
        after: int = 0,
        limit: int | None = None,
        types: list[str] | None = None,
    ) -> answers.EventPage:
        """A page of what has happened."""
        path = calls.job(job_id, "/events")
        return await self._ask(
            calls.get(path, after=after, limit=limit, types=types), answers.EventPage
        )

    def logs(self, job_id: str, *, follow: bool = False, offset: int = 0) -> AsyncGenerator[str]:
        """The log's text in pieces, from byte `offset`; with `follow` to the job's end."""
        return self._each(read_logs(self._flows, job_id, offset, follow=follow))

    async def metrics(self, job_id: str) -> answers.MetricSeries:
        """Loss, learning rate and so on, by step."""
        return await self._ask(calls.get(calls.job(job_id, "/metrics")), answers.MetricSeries)

    async def checkpoints(self, job_id: str) -> answers.CheckpointList:
        """Complete checkpoints."""
        return await self._ask(calls.get(calls.job(job_id, "/checkpoints")), answers.CheckpointList)

    async def artifacts(self, job_id: str) -> answers.FileList:
        """The files of the result, with links where the store has them."""
        return await self._ask(calls.get(calls.job(job_id, "/artifacts")), answers.FileList)

    async def webhooks(
        self, job_id: str, *, after: int = 0, limit: int | None = None
    ) -> WebhookPage:
        """What became of the job's webhooks."""
        path = calls.job(job_id, "/webhooks")
        return await self._ask(calls.get(path, after=after, limit=limit), WebhookPage)

    async def replay_webhooks(
        self, job_id: str, wanted: ReplayRequest | None = None
    ) -> ReplayResult:
        """Send webhooks again."""
        path, body = calls.job(job_id, "/webhooks/replay"), calls.encode(wanted or ReplayRequest())
        return await self._ask(Call(method="POST", path=path, body=body, safe=False), ReplayResult)

    async def backends(self) -> answers.InstalledList:
        """What can run."""
        return await self._ask(calls.get("/backends"), answers.InstalledList)

    async def launchers(self) -> answers.InstalledList:
        """Where jobs can run."""
        return await self._ask(calls.get("/launchers"), answers.InstalledList)

    async def tokens(self, tenant: str | None = None) -> TokenList:
        """All tokens; for admins."""
        return await self._ask(calls.get("/tokens", tenant=tenant), TokenList)

    async def create_token(self, wanted: NewToken) -> IssuedToken:
        """Make a token; for admins."""
        body = calls.encode(wanted)
        return await self._ask(
            Call(method="POST", path="/tokens", body=body, safe=False), IssuedToken
        )

    async def rotate_token(self, token_id: str, rotation: Rotation | None = None) -> IssuedToken:
        """Replace a token; for admins."""
        path, body = calls.token(token_id, "/rotate"), calls.encode(rotation or Rotation())
        return await self._ask(Call(method="POST", path=path, body=body, safe=False), IssuedToken)

    async def revoke_token(self, token_id: str) -> None:
        """Shut a token out; for admins."""
        await self._run(self._flows.answer(Call(method="DELETE", path=calls.token(token_id))))

    async def version(self) -> str:
        """The gateway's version."""
        return await self._run(self._flows.version())

    async def _ask(self, call: Call, kind: type[T]) -> T:
        return await self._run(self._flows.ask(call, kind))

    async def _run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        async with AsyncActor(self._http) as actor:
            while True:
                try:
                    step = flow.send(outcome)
                except StopIteration as ended:
                    return cast("T", ended.value)
                outcome = await actor.do(step)

    async def _each(self, stream: Stream) -> AsyncGenerator[Any]:
        outcome: Any = None
        async with AsyncActor(self._http) as actor:
            while True:
                try:
                    step = stream.send(outcome)
                except StopIteration:
                    return
                outcome = None
                if isinstance(step, Give):
                    yield step.item
                else:
                    outcome = await actor.do(step)
