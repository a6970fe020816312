"""The five calls of SageMaker's API that a run needs. Timeouts and retries are those of `storage.aws`."""

from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from tunegate.launchers.sagemaker.states import OPEN
from tunegate.launchers.sagemaker.trouble import engine_trouble, is_missing, refusal
from tunegate.sdk.launcher import EngineUnavailable, LaunchRefused
from tunegate.storage.aws import Client
from tunegate.storage.aws_errors import code_of


class TrainingJobs:
    """Training jobs by name. All methods raise EngineUnavailable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(self, request: dict[str, Any]) -> None:
        """Create it, or adopt the one that was made of the same files. Raises LaunchRefused, QuotaUsedUp.

        Names are unique in an account and region, so that a create whose answer was lost can be sent again.
        """
        try:
            with engine_trouble():
                await self._client.create_training_job(**request)
        except ClientError as error:
            if code_of(error) != "ResourceInUse":
                raise refusal(error) from None
            await self._adopt(request)

    async def describe(self, name: str) -> dict[str, Any] | None:
        """DescribeTrainingJob's answer; None where there is no such job."""
        try:
            with engine_trouble():
                return await self._client.describe_training_job(TrainingJobName=name)
        except ClientError as error:
            if is_missing(error):
                return None
            raise EngineUnavailable(f"SageMaker refused ({code_of(error)})") from None

    async def stop(self, name: str) -> None:
        """Ask for SIGTERM, and SIGKILL 120 s later. One that is over or unknown is fine."""
        await self._say(self._client.stop_training_job, name)

    async def delete(self, name: str) -> None:
        """Forget a job that is over. One that may not be deleted (a warm pool, no permission) stays in the list."""
        await self._say(self._client.delete_training_job, name)

    async def names(self, prefix: str, ended_after_s: float | None) -> list[str]:
        """Names, with this prefix, of jobs that are not over, or that ended after a time (seconds since 1970)."""
        asked: list[dict[str, Any]] = [{"StatusEquals": status} for status in OPEN]
        if ended_after_s is not None:
            asked.append({"LastModifiedTimeAfter": datetime.fromtimestamp(ended_after_s, UTC)})
        found = [name for one in asked for name in await self._list(NameContains=prefix, **one)]
        return sorted({name for name in found if name.startswith(prefix)})

    async def _list(self, **asked: Any) -> list[str]:
        pages = self._client.get_paginator("list_training_jobs").paginate(
            PaginationConfig={"PageSize": 100}, **asked
        )
        found: list[str] = []
        try:
            with engine_trouble():
                async for page in pages:
                    found += [one["TrainingJobName"] for one in page["TrainingJobSummaries"]]
        except ClientError as error:
            raise EngineUnavailable(f"SageMaker refused ({code_of(error)})") from None
        return found

    async def _adopt(self, request: dict[str, Any]) -> None:
        there = await self.describe(request["TrainingJobName"])
        if there is None or there.get("TrainingJobStatus") == "Deleting":
            raise EngineUnavailable("a training job of this name is still being deleted")
        if _files_of(there) != _files_of(request):
            raise LaunchRefused("a training job of this name is there, and is none of this gateway")

    async def _say(self, call: Any, name: str) -> None:
        try:
            with engine_trouble():
                await call(TrainingJobName=name)
        except ClientError:
            return


def _files_of(job: dict[str, Any]) -> str | None:
    """Where its files lie: no two gateways share the place, and no two runs."""
    channels = job.get("InputDataConfig") or [{}]
    return channels[0].get("DataSource", {}).get("S3DataSource", {}).get("S3Uri")
