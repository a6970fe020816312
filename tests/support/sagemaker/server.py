"""`FakeSageMaker`: the JSON 1.1 protocol of SageMaker and CloudWatch Logs on loopback, bad manners included."""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Literal, Self

from aiohttp import web

from support.bad_manners import cut
from support.sagemaker.host import Account
from support.sagemaker.job import TrainingJob
from support.sagemaker.shapes import violations

Manner = Literal["503", "throttle", "drop", "drop after", "503 after", "stale"]
"""Refused before the effect, no answer before or after it, refused in spite of it; `stale`: nothing is seen."""


class FakeSageMaker:
    """An async context manager. `limits` says how many instances of a type the account may have at once.

    `grace_s` is what lies between SIGTERM and SIGKILL (Amazon's is 120 s), `pause_s` the time to start an instance.
    `created` counts how often each job came to life, `manners` are taken by the next calls of an operation.
    """

    def __init__(self, account: Account, *, grace_s: float = 2.0, pause_s: float = 0.02) -> None:
        self.jobs: dict[str, TrainingJob] = {}
        self.created: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.limits: dict[str, int] = {}
        self.manners: dict[str, deque[Manner]] = {}
        self.started: Counter[str] = Counter()
        self.now_s: Callable[[], float] = time.time
        self.url = ""
        self._account = account
        self._grace_s = grace_s
        self._pause_s = pause_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**22)
        app.router.add_post("/", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def behave(self, operation: str, *manners: Manner) -> None:
        self.manners.setdefault(operation, deque()).extend(manners)

    async def _answer(self, request: web.Request) -> web.Response:
        operation = request.headers["x-amz-target"].rpartition(".")[2]
        self.calls[operation] += 1
        body = json.loads(await request.read())
        manner = await self._manner(operation, body)
        if manner == "503":
            return _error("ServiceUnavailable", "try later", 503)
        if manner == "throttle":
            return _error("ThrottlingException", "Rate exceeded", 400)
        if manner == "drop":
            return cut(request)
        handler = getattr(self, f"_{operation}", None)
        if handler is None:
            return _error("UnknownOperationException", operation, 400)
        answer = handler(body, manner == "stale")
        if manner == "drop after":
            return cut(request)
        if manner == "503 after":
            return _error("ServiceUnavailable", "try later", 503)
        return answer

    async def _manner(self, operation: str, body: dict[str, Any]) -> Manner | None:
        waiting = self.manners.get(operation)
        return waiting.popleft() if waiting else None

    def _new_job(self, body: dict[str, Any]) -> TrainingJob:
        return TrainingJob(
            body, self._account, self.now_s, grace_s=self._grace_s, pause_s=self._pause_s
        )

    def _CreateTrainingJob(self, body: dict[str, Any], stale: bool) -> web.Response:  # noqa: N802
        if wrong := violations("CreateTrainingJob", body):
            return _invalid(f"1 validation error detected: {wrong[0]}")
        name, resources = body["TrainingJobName"], body["ResourceConfig"]
        stopping = body["StoppingCondition"]
        spot = body.get("EnableManagedSpotTraining", False)
        if spot != ("MaxWaitTimeInSeconds" in stopping):
            return _invalid("MaxWaitTimeInSeconds goes with EnableManagedSpotTraining")
        if spot and stopping["MaxWaitTimeInSeconds"] < stopping["MaxRuntimeInSeconds"]:
            return _invalid("Invalid MaxWaitTimeInSeconds. It must be above MaxRuntimeInSeconds")
        if spot and "KeepAlivePeriodInSeconds" in resources:
            return _invalid("KeepAlivePeriodInSeconds is not supported with managed spot training")
        if name in self.jobs:
            text = "Training job names must be unique within an AWS account and region"
            return _error("ResourceInUse", text, 400)
        kind, count = resources["InstanceType"], resources["InstanceCount"]
        used = sum(
            job.instances
            for job in self.jobs.values()
            if job.request["ResourceConfig"]["InstanceType"] == kind
        )
        limit = self.limits.get(kind)
        if limit is not None and used + count > limit:
            text = (
                f"The account-level service limit '{kind} for training job usage' is {limit} Instances, "
                f"with current utilization of {used} Instances and a request delta of {count} Instances."
            )
            return _error("ResourceLimitExceeded", text, 400)
        job = self._new_job(body)
        self.jobs[name] = job
        self.created[name] += 1
        task = asyncio.create_task(job.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return _ok({"TrainingJobArn": job.describe()["TrainingJobArn"]})

    def _DescribeTrainingJob(self, body: dict[str, Any], stale: bool) -> web.Response:  # noqa: N802
        job = self.jobs.get(body["TrainingJobName"])
        return _missing() if job is None or stale else _ok(job.describe())

    def _StopTrainingJob(self, body: dict[str, Any], stale: bool) -> web.Response:  # noqa: N802
        job = self.jobs.get(body["TrainingJobName"])
        if job is None or stale:
            return _missing()
        if job.over:
            text = f"The request was rejected because the training job is in status {job.status}."
            return _invalid(text)
        job.happen("stop")
        return _ok({})

    def _DeleteTrainingJob(self, body: dict[str, Any], stale: bool) -> web.Response:  # noqa: N802
        job = self.jobs.get(body["TrainingJobName"])
        if job is None:
            return _missing()
        if not job.over:
            return _error("ResourceInUse", "the training job is not over", 400)
        del self.jobs[job.name]
        return _ok({})

    def _ListTrainingJobs(self, body: dict[str, Any], stale: bool) -> web.Response:  # noqa: N802
        """Pages of `MaxResults`, by name."""
        names = sorted(
            job.name
            for job in self.jobs.values()
            if body.get("NameContains", "") in job.name
            and body.get("StatusEquals", job.status) == job.status
            and body.get("LastModifiedTimeAfter", 0) <= job.modified_s
        )
        start = int(body.get("NextToken", "0"))
        end = start + body.get("MaxResults", 10)
        shown = [] if stale else names[start:end]
        answer: dict[str, Any] = {
            "TrainingJobSummaries": [
                {
                    "TrainingJobName": name,
                    "TrainingJobArn": self.jobs[name].describe()["TrainingJobArn"],
                    "CreationTime": self.jobs[name].created_s,
                    "TrainingJobStatus": self.jobs[name].status,
                }
                for name in shown
            ]
        }
        if end < len(names):
            answer["NextToken"] = str(end)
        return _ok(answer)

    def _DescribeLogStreams(self, body: dict[str, Any], stale: bool) -> web.Response:  # noqa: N802
        prefix = body["logStreamNamePrefix"]
        job = self.jobs.get(prefix.rstrip("/"))
        hosts = [host for host in job.hosts if host.lines] if job is not None else []
        return _ok({"logStreams": [{"logStreamName": host.stream} for host in hosts]})

    def _GetLogEvents(self, body: dict[str, Any], stale: bool) -> web.Response:  # noqa: N802
        name = body["logStreamName"]
        job = self.jobs.get(name.partition("/")[0])
        host = next((one for one in job.hosts if one.stream == name), None) if job else None
        if host is None:
            return _error(
                "ResourceNotFoundException", "The specified log stream does not exist.", 400
            )
        start = int(body.get("nextToken", "f/0").partition("/")[2])
        events = host.lines[start : start + 100]
        return _ok(
            {
                "events": [
                    {"timestamp": at_ms, "ingestionTime": at_ms, "message": text}
                    for at_ms, text in events
                ],
                "nextForwardToken": f"f/{start + len(events)}",
                "nextBackwardToken": "b/0",
            }
        )


def _ok(body: dict[str, Any]) -> web.Response:
    return web.Response(body=json.dumps(body), content_type="application/x-amz-json-1.1")


def _error(code: str, message: str, status: int) -> web.Response:
    body = json.dumps({"__type": code, "message": message})
    return web.Response(body=body, status=status, content_type="application/x-amz-json-1.1")


def _invalid(message: str) -> web.Response:
    return _error("ValidationException", message, 400)


def _missing() -> web.Response:
    return _invalid("Requested resource not found.")
