"""Put the result where the user wants it; the manifest comes last and only from the newest claim."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tunegate.contract.attempt import Manifest
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import AlreadyExists, ObjectNotFound, ObjectStore, Unsupported
from tunegate.trainer.errors import output_storage_errors
from tunegate.trainer.files import describe_files

MANIFEST = "manifest.json"
AT_ONCE = 8


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
    store: ObjectStore, folder: Path, prefix: str, *, job_id: str, attempt: int, fence: int
) -> tuple[str, str]:
    """Upload a folder and its manifest; gives the manifest's address and SHA-256.

    Raises TunegateError output_not_writable, storage_unavailable, or superseded.
    """
    described = await asyncio.to_thread(describe_files, folder)
    manifest = Manifest(
        job_id=job_id,
        attempt=attempt,
        fence=fence,
        created_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        files=described,
    )
    content = msgspec.json.encode(manifest)
    with output_storage_errors(prefix):
        await _refuse_newer(store, prefix + MANIFEST, fence)
        await upload_folder(store, [folder / f.path for f in described], folder, prefix)
        await _write_manifest(store, prefix + MANIFEST, content, fence)
    return prefix + MANIFEST, hashlib.sha256(content).hexdigest()


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
