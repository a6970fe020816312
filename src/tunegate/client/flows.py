"""From a call to its result, with all that lies between: retries, pages, waiting. One text for both clients."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec

from tunegate.client import calls
from tunegate.client.errors import GatewayUnreachable, NotFound, error_of
from tunegate.client.retrying import Retrying, may_retry, retry_after_s
from tunegate.client.steps import Answer, Call, Flow, Give, NoAnswer, Now, Pause, Send, Stream
from tunegate.contract.base import Wire
from tunegate.contract.job import TERMINAL, Job, JobPage
from tunegate.contract.secret import decode_hook

T = TypeVar("T")
_POLL_FIRST_S, _POLL_LONGEST_S = 0.2, 5.0


class _Info(Wire):
    version: str


class _OpenApi(Wire):
    info: _Info


class Patience:
    """Counts failures in a row and says how long to wait. `chance` is asked for each pause."""

    def __init__(self, retrying: Retrying, chance: Any) -> None:
        self._retrying, self._chance = retrying, chance
        self.failures = 0

    def pause(self, outcome: Answer | NoAnswer, *, safe: bool) -> Pause | None:
        """The pause before the next try; None = there is to be none."""
        if isinstance(outcome, NoAnswer):
            again, after = safe or not outcome.sent, None
        else:
            again = may_retry(outcome.status, outcome.headers, safe=safe)
            after = retry_after_s(outcome.headers)
        self.failures += 1
        pause_s = self._retrying.pause_s(self.failures, after, self._chance()) if again else None
        return None if pause_s is None else Pause(pause_s)


class Flows:
    """Makes flows for one client. `url` is for messages only."""

    def __init__(self, url: str, retrying: Retrying, chance: Any) -> None:
        self._url, self._retrying, self._chance = url, retrying, chance

    def patience(self) -> Patience:
        return Patience(self._retrying, self._chance)

    def failure(self, outcome: Answer | NoAnswer) -> Exception:
        """What to raise for an outcome that is no success."""
        if isinstance(outcome, NoAnswer):
            return GatewayUnreachable(f"{self._url}: {outcome.reason}")
        return error_of(outcome.status, outcome.body, retry_after_s(outcome.headers))

    def answer(self, call: Call) -> Flow[Answer]:
        """The successful answer. Raises ApiError or GatewayUnreachable."""
        patience = self.patience()
        while True:
            outcome = cast("Answer | NoAnswer", (yield Send(call)))
            if isinstance(outcome, Answer) and outcome.status < 300:
                return outcome
            pause = patience.pause(outcome, safe=call.safe)
            if pause is None:
                raise self.failure(outcome)
            yield pause

    def ask(self, call: Call, kind: type[T]) -> Flow[T]:
        """The decoded answer."""
        answer = yield from self.answer(call)
        try:
            return msgspec.convert(
                msgspec.json.decode(answer.body or b"null"), kind, dec_hook=decode_hook
            )
        except msgspec.DecodeError:
            raise GatewayUnreachable(f"{self._url}: the answer is not a gateway's") from None

    def version(self) -> Flow[str]:
        """What the gateway calls itself in its OpenAPI document."""
        document = yield from self.ask(calls.get("/schema/openapi.json"), _OpenApi)
        return document.info.version

    def forget(self, job_id: str) -> Flow[None]:
        """Delete a job. Where the first try got no answer, a 404 to the second says that it had worked."""
        call, tried = Call(method="DELETE", path=calls.job(job_id), safe=False), False
        patience = self.patience()
        while True:
            outcome = cast("Answer | NoAnswer", (yield Send(call)))
            if isinstance(outcome, Answer) and outcome.status < 300:
                return
            failure = self.failure(outcome)
            if tried and isinstance(failure, NotFound):
                return
            pause = patience.pause(outcome, safe=True)
            if pause is None:
                raise failure
            tried = True
            yield pause

    def jobs(
        self,
        status: str | None,
        backend: str | None,
        metadata: Mapping[str, str] | None,
        limit: int | None,
    ) -> Stream:
        """Gives jobs, newest first, page after page, at most `limit`."""
        after, left = None, limit
        while left is None or left > 0:
            size = 200 if left is None else min(left, 200)
            call = calls.list_jobs(status, backend, metadata, after, size)
            page = yield from self.ask(call, JobPage)
            for job in page.data:
                yield Give(job)
            if not page.has_more or not page.data:
                return
            after = page.data[-1].job_id
            left = None if left is None else left - len(page.data)

    def wait(self, job_id: str, timeout_s: float | None) -> Flow[Job]:
        """The job once it is over. Raises TimeoutError."""
        started = cast("float", (yield Now()))
        pause_s = _POLL_FIRST_S
        while True:
            job = yield from self.ask(calls.get(calls.job(job_id)), Job)
            if job.status in TERMINAL:
                return job
            if timeout_s is not None:
                left = timeout_s - (cast("float", (yield Now())) - started)
                if left <= 0:
                    raise TimeoutError(f"job {job_id} is {job.status} after {timeout_s:g} s")
                pause_s = min(pause_s, left)
            yield Pause(pause_s)
            pause_s = min(pause_s * 1.5, _POLL_LONGEST_S)
