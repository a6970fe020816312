"""One training job: its states as SageMaker goes through them, with the words that it has for each end."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any, Literal

from support.sagemaker.host import Account

MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Interrupted": "The job was interrupted by spot capacity",
    "Restarting": "Restarting the training job",
    "Stopping": "Stopping the training job",
}
INTERNAL_ERROR = "InternalServerError: We encountered an internal error. Please try again."
End = tuple[str, str, str]
"""Status, secondary status, failure reason."""


class TrainingJob:
    """Driven by `run`; `stop`, `interrupt` and `lose` are what happens to it meanwhile."""

    def __init__(
        self,
        request: dict[str, Any],
        account: Account,
        now_s: Callable[[], float],
        *,
        grace_s: float,
        pause_s: float,
    ) -> None:
        self.request = request
        self.name: str = request["TrainingJobName"]
        self.status, self.secondary = "InProgress", "Starting"
        self.reason = ""
        self.transitions: list[dict[str, Any]] = []
        self.created_s = self.modified_s = now_s()
        self._now_s = now_s
        self._account = account
        self._grace_s = grace_s
        self._pause_s = pause_s
        self._why: Literal["stop", "runtime", "interrupt", "lost"] | None = None
        self._happened = asyncio.Event()
        count = request["ResourceConfig"]["InstanceCount"]
        self.hosts = [account.new_host(self.name, n, count) for n in range(1, count + 1)]
        self._enter("Starting")

    @property
    def over(self) -> bool:
        return self.status in ("Completed", "Failed", "Stopped")

    @property
    def instances(self) -> int:
        return 0 if self.over else len(self.hosts)

    def describe(self) -> dict[str, Any]:
        shown = {key: value for key, value in self.request.items() if key != "Tags"}
        return shown | {
            "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{self.name}",
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": self.transitions,
            "CreationTime": self.created_s,
            "LastModifiedTime": self.modified_s,
            **({"FailureReason": self.reason} if self.reason else {}),
        }

    def happen(self, what: Literal["stop", "interrupt", "lost"]) -> None:
        if self.over or self._why is not None:
            return
        self._why = what
        if what == "stop":
            self.status = "Stopping"
            self._enter("Stopping")
        self._happened.set()

    async def run(self) -> None:
        try:
            while True:
                end = await self._life()
                if end is not None:
                    break
                self._why = None
                self._happened.clear()
                self._enter("Restarting")
        except Exception as error:  # noqa: BLE001  as the service has it
            end = ("Failed", "Failed", f"ClientError: {type(error).__name__}: {error}")
        finally:
            for host in self.hosts:
                host.signal(signal.SIGKILL, group=True)
        self.reason = end[2]
        self._enter(end[1])
        self.status = end[0]

    async def _life(self) -> End | None:
        """From the instances to the end; None = the spot capacity went, and there is other."""
        await asyncio.sleep(self._pause_s)
        if self._why is None:
            self._enter("Downloading")
            await self._download()
        if self._why == "stop":
            return ("Stopped", "Stopped", "")
        self._enter("Training")
        for host in self.hosts:
            await host.start(self.request)
        waiting = [asyncio.create_task(host.wait()) for host in self.hosts]
        codes = await self._until_over(waiting)
        why = self._why or next((host.taken for host in self.hosts if host.taken), None)
        if why == "stop":
            return ("Stopped", "Stopped", "")
        if why == "runtime":
            return ("Stopped", "MaxRuntimeExceeded", "")
        if why == "interrupt":
            self._enter("Interrupted")
            return None
        if why == "lost":
            return ("Failed", "Failed", INTERNAL_ERROR)
        bad = next((code for code in codes if code), 0)
        if bad:
            return (
                "Failed",
                "Failed",
                f"AlgorithmError: {self.hosts[0].failure()[:1024]}, exit code: {bad}",
            )
        self._enter("Uploading")
        await asyncio.sleep(0)
        return ("Completed", "Completed", "")

    async def _until_over(self, waiting: list["asyncio.Task[int]"]) -> list[int]:
        everybody = asyncio.gather(*waiting)
        limit_s = self.request["StoppingCondition"]["MaxRuntimeInSeconds"]
        happening = asyncio.create_task(self._happened.wait())
        try:
            await asyncio.wait(
                [everybody, happening], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not everybody.done():
                if self._why is None:
                    self._why = "runtime"
                    self._enter("Stopping")
                hard = self._why == "lost"
                for host in self.hosts:
                    host.signal(signal.SIGKILL if hard else signal.SIGTERM, group=hard)
                await asyncio.wait([everybody], timeout=self._grace_s)
                for host in self.hosts:
                    host.signal(signal.SIGKILL, group=True)
            return await everybody
        finally:
            happening.cancel()

    async def _download(self) -> None:
        """Every object of every channel, to every instance."""
        for channel in self.request.get("InputDataConfig", ()):
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            files = await self._account.objects(uri)
            if not files:
                raise FileNotFoundError(f"No S3 objects found under {uri}")
            for host in self.hosts:
                host.give(channel["ChannelName"], files)

    def _enter(self, secondary: str) -> None:
        self.secondary = secondary
        self.modified_s = self._now_s()
        if self.transitions:
            self.transitions[-1].setdefault("EndTime", self.modified_s)
        message = MESSAGES.get(secondary, secondary)
        self.transitions.append(
            {"Status": secondary, "StartTime": self.modified_s, "StatusMessage": message}
        )
