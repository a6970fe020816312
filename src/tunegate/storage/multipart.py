"""Uploads: small files in one request, large ones in parallel parts, each with its CRC-32."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tunegate.sdk.storage import StorageError
from tunegate.storage.aws import Client
from tunegate.storage.transfer import in_parallel, part_bytes

_CHECKSUM = "ChecksumCRC32"


async def upload_file(
    client: Client, source: Path, size_bytes: int, bucket: str, key: str
) -> dict[str, Any]:
    """Put a file; returns the answer that holds its ETag. Parts of a failed upload are removed. Raises botocore's errors."""
    place = {"Bucket": bucket, "Key": key}
    step = part_bytes(size_bytes)
    with source.open("rb") as file:
        descriptor = file.fileno()
        if size_bytes <= step:
            return await client.put_object(**place, Body=await _read(descriptor, 0, size_bytes))
        started = await client.create_multipart_upload(**place, ChecksumAlgorithm="CRC32")
        upload = {**place, "UploadId": started["UploadId"]}
        parts: dict[int, dict[str, Any]] = {}

        async def send(start: int) -> None:
            number = start // step + 1
            body = await _read(descriptor, start, min(step, size_bytes - start))
            answer = await client.upload_part(
                **upload, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32"
            )
            parts[number] = {"PartNumber": number, "ETag": answer["ETag"]}
            if _CHECKSUM in answer:
                parts[number][_CHECKSUM] = answer[_CHECKSUM]

        try:
            await in_parallel(range(0, size_bytes, step), send)
            ordered = [part for _, part in sorted(parts.items())]
            return await client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": ordered}
            )
        except BaseException:
            # Also when cancelled: what is left behind costs the user money.
            with suppress(ClientError, BotoCoreError):
                await client.abort_multipart_upload(**upload)
            raise


async def _read(descriptor: int, start: int, length: int) -> bytes:
    data = await asyncio.to_thread(os.pread, descriptor, length, start)
    if len(data) != length:
        raise StorageError("the file changed while it was uploaded")
    return data
