"""What is laid out on S3 for each run, below the operator's prefix. A run is there as long as its request is.

requests/<name>.json    the native request, written after the files; without a training job of its name the run waits
requests/<name>.stop    it was stopped before SageMaker had it; .remove: it goes once it is over
runs/<name>/files/      the channel: the container's files, the ticket, and the secret until it is claimed
runs/<name>/output/ checkpoints/   SageMaker's own
"""

from typing import Any

import msgspec

from tunegate.launchers.sagemaker.render import (
    REMOVE,
    REQUEST,
    STOP,
    folder_of,
    requests_of,
    runs_of,
)
from tunegate.launchers.sagemaker.settings import SageMakerSettings
from tunegate.launchers.sagemaker.trouble import engine_trouble
from tunegate.sdk.run_files import GRANT_FILE, TOKEN_FILE
from tunegate.sdk.storage import ObjectNotFound
from tunegate.storage.addresses import split_s3
from tunegate.storage.aws import Client
from tunegate.storage.aws_errors import s3_errors


class RunFolders:
    """All methods raise EngineUnavailable."""

    def __init__(self, client: Client, settings: SageMakerSettings) -> None:
        self._client = client
        self._settings = settings
        self._encryption = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": settings.s3_kms_key_id}
            if settings.s3_kms_key_id
            else {}
        )

    async def lay(self, name: str, files: dict[str, bytes], request: dict[str, Any]) -> None:
        """Files first, then the request, which makes the run one."""
        for path, content in files.items():
            await self._put(self._file(name, f"files/{path}"), content)
        await self._put(self._mark(name, REQUEST), msgspec.json.encode(request))

    async def request(self, name: str) -> dict[str, Any] | None:
        """The request of a run that is there."""
        bucket, key = self._mark(name, REQUEST)
        with engine_trouble():
            try:
                with s3_errors(f"s3://{bucket}/{key}"):
                    answer = await self._client.get_object(Bucket=bucket, Key=key)
                    async with answer["Body"] as body:
                        return msgspec.json.decode(await body.read())
            except ObjectNotFound:
                return None

    async def marks(self, name: str) -> set[str]:
        """What of request, stop and remove is there."""
        bucket, prefix = self._mark(name, "")
        return {key.removeprefix(prefix) for key in await self._keys(bucket, prefix)}

    async def mark(self, name: str, what: str) -> None:
        await self._put(self._mark(name, what), b"")

    async def names(self) -> list[str]:
        """All runs of which anything is there: also files that arrived after their run was given up."""
        bucket, prefix = split_s3(requests_of(self._settings))
        marks = [key.removeprefix(prefix) for key in await self._keys(bucket, prefix)]
        bucket, prefix = split_s3(runs_of(self._settings))
        files = [key.removeprefix(prefix) for key in await self._keys(bucket, prefix)]
        names = {*(mark.rpartition(".")[0] for mark in marks), *(file.partition("/")[0] for file in files)}  # fmt: skip
        return sorted(names)

    async def forget_secrets(self, name: str) -> None:
        for one in (GRANT_FILE, TOKEN_FILE):
            await self._delete(self._file(name, f"files/{one}"))

    async def remove(self, name: str) -> None:
        """The request goes last: what was begun is found again."""
        bucket, prefix = self._file(name, "")
        for key in await self._keys(bucket, prefix):
            await self._delete((bucket, key))
        for what in (STOP, REMOVE, REQUEST):
            await self._delete(self._mark(name, what))

    def _file(self, name: str, path: str) -> tuple[str, str]:
        return split_s3(folder_of(self._settings, name) + path)

    def _mark(self, name: str, what: str) -> tuple[str, str]:
        return split_s3(f"{requests_of(self._settings)}{name}.{what}")

    async def _put(self, place: tuple[str, str], content: bytes) -> None:
        bucket, key = place
        with engine_trouble(), s3_errors(f"s3://{bucket}/{key}"):
            await self._client.put_object(Bucket=bucket, Key=key, Body=content, **self._encryption)

    async def _delete(self, place: tuple[str, str]) -> None:
        bucket, key = place
        with engine_trouble(), s3_errors(f"s3://{bucket}/{key}"):
            await self._client.delete_object(Bucket=bucket, Key=key)

    async def _keys(self, bucket: str, prefix: str) -> list[str]:
        found: list[str] = []
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        with engine_trouble(), s3_errors(f"s3://{bucket}/{prefix}"):
            async for page in pages:
                found += [one["Key"] for one in page.get("Contents", ())]
        return found
