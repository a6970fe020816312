"""`S3Store`: AWS S3 and everything that speaks its protocol."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, Self

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    InvalidRegionError,
)

from tunegate.contract.request import Auth
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.clock import Clock, SystemClock
from tunegate.sdk.storage import ObjectInfo, ObjectNotFound, ObjectStore, StorageError, Unsupported
from tunegate.storage.addresses import shown, split_s3
from tunegate.storage.aws import Client, s3_client
from tunegate.storage.aws_errors import s3_errors, status_of
from tunegate.storage.multipart import upload_file
from tunegate.storage.transfer import (
    TRIES,
    BrokenRead,
    Chunks,
    Part,
    appearing,
    fill,
    in_parallel,
    parts_of,
    resume,
)

_BROKEN = (aiohttp.ClientError, BotoCoreError, TimeoutError, OSError)


class S3Store(ObjectStore):
    """s3://BUCKET/KEY. Keys are taken as they are written; credentials come from `auth` or not at all (see `aws`)."""

    schemes = frozenset({"s3"})
    page_size: ClassVar[int] = 1000
    """Objects per page of a listing."""

    def __init__(
        self, policy: StoragePolicy, auth: Auth | None = None, *, clock: Clock | None = None
    ) -> None:
        self._policy = policy
        self._auth = auth
        self._clock = clock or SystemClock()
        self._stack = AsyncExitStack()
        self._client: Client = None

    async def __aenter__(self) -> Self:
        try:
            client = s3_client(self._policy, self._auth)
            self._client = await self._stack.enter_async_context(client)
        except InvalidRegionError:
            raise Unsupported("aws_region is not the name of a region") from None
        except ValueError:  # the message quotes the address
            raise Unsupported("storage.s3_endpoint_url is not a valid address") from None
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def head(self, uri: str) -> ObjectInfo:
        bucket, key = split_s3(uri)
        with s3_errors(uri):
            return _info(uri, await self._client.head_object(Bucket=bucket, Key=key))

    async def read(self, uri: str, *, offset: int = 0, length: int | None = None) -> bytes:
        if length == 0:
            return b""
        stop = None if length is None else offset + length
        return b"".join([chunk async for chunk in self._range(uri, (offset, stop), None, 2**20)])

    def stream(self, uri: str, *, offset: int = 0, chunk_bytes: int = 2**20) -> Chunks:
        return self._range(uri, (offset, None), None, chunk_bytes)

    async def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        """A conditional write whose first try got through unheard raises AlreadyExists too: compare the contents."""
        bucket, key = split_s3(uri)
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        with s3_errors(uri):
            answer = await self._put(Bucket=bucket, Key=key, Body=data, **condition)
        return ObjectInfo(uri=uri, size_bytes=len(data), etag=_etag(answer))

    async def upload(self, source: Path, uri: str) -> ObjectInfo:
        bucket, key = split_s3(uri)
        size = (await asyncio.to_thread(source.stat)).st_size
        with s3_errors(uri):
            answer = await upload_file(self._client, source, size, bucket, key)
        info = await self.head(uri)
        if info.size_bytes != size or info.etag != _etag(answer):
            raise StorageError(f"{shown(uri)} was overwritten by somebody else during the upload")
        return info

    async def download(self, uri: str, target: Path) -> ObjectInfo:
        info = await self.head(uri)
        async with appearing(target) as descriptor:

            async def fetch(part: Part) -> None:
                end = await fill(descriptor, part, self._range(uri, part, info.etag, 2**20))
                if part[1] is None and end != info.size_bytes:
                    raise StorageError(f"{shown(uri)} has the wrong size")

            await in_parallel(parts_of(info.size_bytes), fetch)
        return info

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        bucket, key = split_s3(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=key, PaginationConfig={"PageSize": self.page_size}
        )
        with s3_errors(prefix):
            async for page in pages:
                for entry in page.get("Contents", ()):
                    yield _info(f"s3://{bucket}/{entry['Key']}", entry)

    async def delete(self, uri: str) -> None:
        bucket, key = split_s3(uri)
        try:
            with s3_errors(uri):
                await self._client.delete_object(Bucket=bucket, Key=key)
        except ObjectNotFound:
            return

    async def presign(self, uri: str, *, expires_s: int = 3600) -> str:
        bucket, key = split_s3(uri)
        with s3_errors(uri):
            return await self._client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=expires_s
            )

    async def _put(self, **request: Any) -> dict[str, Any]:
        # 409 on a conditional write: another one is under way, and only a new try tells who was first.
        for attempt in range(1, TRIES):
            try:
                return await self._client.put_object(**request)
            except ClientError as error:
                if status_of(error) != 409:
                    raise
            await self._clock.sleep(0.1 * 2**attempt)
        return await self._client.put_object(**request)

    def _range(self, uri: str, part: Part, etag: str | None, chunk_bytes: int) -> Chunks:
        """The bytes [start, stop) of one version of the object, resumed where a connection breaks."""
        start, stop = part
        version = _Version(uri, etag)

        def open_at(position: int) -> Chunks:
            return self._open(version, position, stop, chunk_bytes)

        return resume(open_at, start, self._clock)

    async def _open(
        self, version: "_Version", start: int, stop: int | None, chunk_bytes: int
    ) -> Chunks:
        bucket, key = split_s3(version.uri)
        request: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if (start, stop) != (0, None):
            request["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        if version.etag is not None:
            request["IfMatch"] = f'"{version.etag}"'
        with s3_errors(version.uri):
            try:
                answer = await self._client.get_object(**request)
            except ClientError as error:
                if status_of(error) == 416:
                    return  # nothing lies at or after `start`
                if status_of(error) == 412:
                    raise StorageError(f"{shown(version.uri)} changed while it was read") from None
                raise
        version.etag = _etag(answer)
        try:
            body = answer["Body"]
            async with body:
                async for chunk in body.iter_chunks(chunk_bytes):
                    yield chunk
        except FlexibleChecksumError:
            raise StorageError(f"{shown(version.uri)} does not fit its checksum") from None
        except _BROKEN:
            raise BrokenRead(f"{shown(version.uri)}: the connection broke off") from None


class _Version:
    """Which state of an object is being read: the tag that the first answer bore holds for the later ones."""

    def __init__(self, uri: str, etag: str | None) -> None:
        self.uri = uri
        self.etag = etag


def _etag(answer: dict[str, Any]) -> str | None:
    etag = answer.get("ETag")
    return etag.strip('"') if etag else None


def _info(uri: str, answer: dict[str, Any]) -> ObjectInfo:
    size = answer["ContentLength"] if "ContentLength" in answer else answer["Size"]
    modified = answer.get("LastModified")
    return ObjectInfo(
        uri=uri,
        size_bytes=size,
        etag=_etag(answer),
        modified_ms=int(modified.timestamp() * 1000) if modified else None,
    )
