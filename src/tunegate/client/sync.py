"""`Client`: for scripts and notebooks."""

import random
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar, cast

import httpx

from tunegate import __version__
from tunegate.client import calls, profile
from tunegate.client import transport as wire
from tunegate.client.acting import Actor
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


class Client:
    """A gateway, as a tenant sees it; a context manager. Not to be shared between threads.

    Without arguments the address and the token are those of TUNEGATE_URL and TUNEGATE_TOKEN, or of `tunegate login`.
    All methods raise ApiError (the gateway refused) and GatewayUnreachable.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        retrying: Retrying | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.profile = profile.choose(url, token)
        self._http = httpx.Client(**wire.settings(self.profile, __version__), transport=transport)
        self._flows = Flows(self.profile.url, retrying or Retrying(), random.random)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def submit(self, request: Request, *, backend: str | None = None) -> Job:
        """Submit a job. The same job_id and request again gives the same job."""
        return self._ask(calls.submit(request, backend), Job)

    def dry_run(self, request: Request, *, backend: str | None = None) -> answers.DryRun:
        """What would run; nothing is stored or launched."""
        return self._ask(calls.submit(request, backend, dry_run=True), answers.DryRun)

    def get(self, job_id: str) -> Job:
        """The job as it stands."""
        return self._ask(calls.get(calls.job(job_id)), Job)

    def list_jobs(
        self,
        *,
        status: str | None = None,
        backend: str | None = None,
        metadata: Mapping[str, str] | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> answers.JobPage:
        """One page of jobs, newest first."""
        return self._ask(calls.list_jobs(status, backend, metadata, after, limit), answers.JobPage)

    def jobs(
        self,
        *,
        status: str | None = None,
        backend: str | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """All jobs, newest first, over all pages."""
        return self._each(self._flows.jobs(status, backend, metadata, limit))

    def cancel(self, job_id: str) -> Job:
        """Ask the job to stop."""
        return self._ask(Call(method="POST", path=calls.job(job_id, "/cancel")), Job)

    def retry(self, job_id: str, request: Request | None = None) -> Job:
        """Let a failed or cancelled job go on; its request is needed again once its credentials were destroyed."""
        body = None if request is None else calls.encode(request)
        path = calls.job(job_id, "/retry")
        return self._ask(Call(method="POST", path=path, body=body, safe=False), Job)

    def delete(self, job_id: str) -> None:
        """Forget a finished job; its artifacts stay."""
        self._run(self._flows.forget(job_id))

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """The job once it is over, whatever became of it. Raises TimeoutError."""
        return self._run(self._flows.wait(job_id, timeout_s))

    def watch(self, job_id: str, display: Display | None = None) -> Job:
        """Show the job's progress to its end, in a notebook or on a terminal, and return the job."""
        shown = display or display_here()
        view = JobView.of(self.get(job_id))
        shown.update(view)
        for event in self.events(job_id):
            view = view.after(event)
            shown.update(view)
        job = self.get(job_id)
        shown.close(JobView.of(job))
        return job

    def events(self, job_id: str, *, after: int = 0) -> Iterator[JobEvent]:
        """Every event after number `after` as it happens, to the job's end; broken connections are taken up again."""
        return self._each(follow_events(self._flows, job_id, after))

    def event_page(
        self,
        job_id: str,
        *,
        after: int = 0,
        limit: int | None = None,
        types: list[str] | None = None,
    ) -> answers.EventPage:
        """A page of what has happened."""
        path = calls.job(job_id, "/events")
        return self._ask(calls.get(path, after=after, limit=limit, types=types), answers.EventPage)

    def logs(self, job_id: str, *, follow: bool = False, offset: int = 0) -> Iterator[str]:
        """The log's text in pieces, from byte `offset`; with `follow` to the job's end."""
        return self._each(read_logs(self._flows, job_id, offset, follow=follow))

    def metrics(self, job_id: str) -> answers.MetricSeries:
        """Loss, learning rate and so on, by step."""
        return self._ask(calls.get(calls.job(job_id, "/metrics")), answers.MetricSeries)

    def checkpoints(self, job_id: str) -> answers.CheckpointList:
        """Complete checkpoints."""
        return self._ask(calls.get(calls.job(job_id, "/checkpoints")), answers.CheckpointList)

    def artifacts(self, job_id: str) -> answers.FileList:
        """The files of the result, with links where the store has them."""
        return self._ask(calls.get(calls.job(job_id, "/artifacts")), answers.FileList)

    def webhooks(self, job_id: str, *, after: int = 0, limit: int | None = None) -> WebhookPage:
        """What became of the job's webhooks."""
        path = calls.job(job_id, "/webhooks")
        return self._ask(calls.get(path, after=after, limit=limit), WebhookPage)

    def replay_webhooks(self, job_id: str, wanted: ReplayRequest | None = None) -> ReplayResult:
        """Send webhooks again."""
        path, body = calls.job(job_id, "/webhooks/replay"), calls.encode(wanted or ReplayRequest())
        return self._ask(Call(method="POST", path=path, body=body, safe=False), ReplayResult)

    def backends(self) -> answers.InstalledList:
        """What can run."""
        return self._ask(calls.get("/backends"), answers.InstalledList)

    def launchers(self) -> answers.InstalledList:
        """Where jobs can run."""
        return self._ask(calls.get("/launchers"), answers.InstalledList)

    def tokens(self, tenant: str | None = None) -> TokenList:
        """All tokens; for admins."""
        return self._ask(calls.get("/tokens", tenant=tenant), TokenList)

    def create_token(self, wanted: NewToken) -> IssuedToken:
        """Make a token; for admins."""
        body = calls.encode(wanted)
        return self._ask(Call(method="POST", path="/tokens", body=body, safe=False), IssuedToken)

    def rotate_token(self, token_id: str, rotation: Rotation | None = None) -> IssuedToken:
        """Replace a token; for admins."""
        path, body = calls.token(token_id, "/rotate"), calls.encode(rotation or Rotation())
        return self._ask(Call(method="POST", path=path, body=body, safe=False), IssuedToken)

    def revoke_token(self, token_id: str) -> None:
        """Shut a token out; for admins."""
        self._run(self._flows.answer(Call(method="DELETE", path=calls.token(token_id))))

    def version(self) -> str:
        """The gateway's version."""
        return self._run(self._flows.version())

    def _ask(self, call: Call, kind: type[T]) -> T:
        return self._run(self._flows.ask(call, kind))

    def _run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        with Actor(self._http) as actor:
            while True:
                try:
                    step = flow.send(outcome)
                except StopIteration as ended:
                    return cast("T", ended.value)
                outcome = actor.do(step)

    def _each(self, stream: Stream) -> Iterator[Any]:
        outcome: Any = None
        with Actor(self._http) as actor:
            while True:
                try:
                    step = stream.send(outcome)
                except StopIteration:
                    return
                outcome = None
                if isinstance(step, Give):
                    yield step.item
                else:
                    outcome = actor.do(step)
