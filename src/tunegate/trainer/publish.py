"""Put the result where the user wants it; the manifest comes last and only from the newest claim."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tunegate.contract.attempt import Manifest, ManifestFile
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import AlreadyExists, ObjectNotFound, ObjectStore, Unsupported
from tunegate.trainer.errors import output_storage_errors
from tunegate.trainer.files import describe_file, files_below

MANIFEST = "manifest.json"
AT_ONCE = 8
READ_BACK_BYTES = 256 * 2**20


async def check_writable(store: ObjectStore, prefix: str, run_uid: str) -> None:
    """Write and remove a small object: better known before the training than after it."""
    probe = f"{prefix}.write-check-{run_uid}"
    with output_storage_errors(prefix):
        await store.write(probe, b"")
        await store.delete(probe)


async def upload_folder(store: ObjectStore, files: list[Path], root: Path, prefix: str) -> None:
    """Upload files of `root` below `prefix`, several at once. Raises StorageError."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(path: Path) -> None:
        async with limit:
            await store.upload(path, prefix + path.relative_to(root).as_posix())

    await asyncio.gather(*(one(path) for path in files))


async def publish(
    store: ObjectStore,
    folder: Path,
    prefix: str,
    files: list[ManifestFile],
    *,
    job_id: str,
    attempt: int,
    fence: int,
) -> tuple[str, str]:
    """Upload a folder's files and their manifest; gives the manifest's address and SHA-256.

    `files` bear the hashes of the time when they were written: what differs now, here or in the store, is damaged.
    Raises TunegateError artifact_damaged, output_not_writable, storage_unavailable, or superseded.
    """
    await asyncio.to_thread(_check_local, folder, files)
    manifest = Manifest(
        job_id=job_id,
        attempt=attempt,
        fence=fence,
        created_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        files=files,
    )
    content = msgspec.json.encode(manifest)
    with output_storage_errors(prefix):
        await _refuse_newer(store, prefix + MANIFEST, fence)
        await upload_folder(store, [folder / f.path for f in files], folder, prefix)
        await _check_uploaded(store, prefix, files)
        await _write_manifest(store, prefix + MANIFEST, content, fence)
    return prefix + MANIFEST, hashlib.sha256(content).hexdigest()


def _check_local(folder: Path, files: list[ManifestFile]) -> None:
    there = {path.relative_to(folder).as_posix() for path in files_below(folder)}
    for file in files:
        if file.path not in there or describe_file(folder / file.path, folder) != file:
            raise TunegateError(
                "artifact_damaged", f"The file {file.path} changed after it was written."
            )


async def _check_uploaded(store: ObjectStore, prefix: str, files: list[ManifestFile]) -> None:
    """Files of moderate size are read back; for larger ones the store's own checksums must do, and the size."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(file: ManifestFile) -> None:
        async with limit:
            uri = prefix + file.path
            if file.size_bytes > READ_BACK_BYTES:
                same = (await store.head(uri)).size_bytes == file.size_bytes
            else:
                digest = hashlib.sha256()
                async for chunk in store.stream(uri):
                    digest.update(chunk)
                same = digest.hexdigest() == file.sha256
            if not same:
                raise TunegateError(
                    "artifact_damaged", f"The store does not hold {file.path} as it was sent."
                )

    await asyncio.gather(*(one(file) for file in files))


async def _write_manifest(store: ObjectStore, uri: str, content: bytes, fence: int) -> None:
    """Create it, or replace one of the same or an older claim: a claim that was lost must not hold the job up."""
    try:
        await store.write(uri, content, if_absent=True)
    except (AlreadyExists, Unsupported):
        await _refuse_newer(store, uri, fence)
        await store.write(uri, content)


async def _refuse_newer(store: ObjectStore, uri: str, fence: int) -> None:
    try:
        there = msgspec.json.decode(await store.read(uri), type=Manifest)
    except (ObjectNotFound, msgspec.DecodeError):
        return
    if there.fence > fence:
        raise TunegateError("superseded", "A newer run of this job has published its result.")
