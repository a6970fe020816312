"""Whether a result is complete: the manifest is the announced one, of the fence that won, and its files are there.

A program that announces none has left a result when there is any file in the job's folder.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath

import msgspec

from tunegate.contract.attempt import Manifest, ManifestFile, SucceededEvent
from tunegate.control.observation import ManifestVerdict
from tunegate.control.records import AttemptRecord, JobRecord
from tunegate.sdk.storage import (
    AccessDenied,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    StoreUnavailable,
)

VerifyManifest = Callable[
    [JobRecord, AttemptRecord, SucceededEvent | None], Awaitable[ManifestVerdict]
]
"""Raises StoreUnavailable when the object store does not answer: that says nothing about the result."""
OpenJobStore = Callable[[JobRecord], Awaitable[ObjectStore]]
"""The object store of the job's output, with the job's own credentials."""

_PARALLEL = 8
_CHECKPOINTS = "checkpoints/"
_LISTED_MAX = 1000
"""No more files of a program without a manifest are listed."""


class ManifestVerifier:
    """Reads the manifest and looks at every file that it lists. An instance is a `VerifyManifest`."""

    def __init__(self, open_store: OpenJobStore) -> None:
        self._open_store = open_store

    async def __call__(
        self, job: JobRecord, attempt: AttemptRecord, claim: SucceededEvent | None
    ) -> ManifestVerdict:
        if claim is not None and not claim.manifest_uri.startswith(job.output_uri):
            return ManifestVerdict(problem="The manifest does not lie in the job's own folder.")
        try:
            async with await self._open_store(job) as store:
                if claim is None:
                    return await _what_lies_there(store, job.output_uri)
                return await _verdict(store, attempt, claim)
        except StoreUnavailable:
            raise
        except ObjectNotFound:
            return ManifestVerdict(problem="The manifest is not there.")
        except StorageError as error:
            denied = isinstance(error, AccessDenied)
            return ManifestVerdict(problem=f"The result can't be read: {error}", denied=denied)


async def _verdict(
    store: ObjectStore, attempt: AttemptRecord, claim: SucceededEvent
) -> ManifestVerdict:
    content = await store.read(claim.manifest_uri)
    if hashlib.sha256(content).hexdigest() != claim.manifest_sha256:
        return ManifestVerdict(problem="The manifest is not the one that the trainer announced.")
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError:
        return ManifestVerdict(problem="The manifest can't be read.")
    if manifest.fence != attempt.fence:
        return ManifestVerdict(problem="The manifest was written by a run that had lost the claim.")
    folder = claim.manifest_uri.rpartition("/")[0]
    slots = asyncio.Semaphore(_PARALLEL)

    async def look(file: ManifestFile) -> str | None:
        async with slots:
            return await _file_problem(store, folder, file)

    problems = await asyncio.gather(*(look(file) for file in manifest.files))
    problem = next((problem for problem in problems if problem), None)
    return ManifestVerdict(problem=problem, files=[] if problem else manifest.files)


async def _what_lies_there(store: ObjectStore, folder: str) -> ManifestVerdict:
    """All files but checkpoints; nobody knows their hashes."""
    files: list[ManifestFile] = []
    async for found in store.list(folder):
        path = found.uri.removeprefix(folder)
        if not path.startswith(_CHECKPOINTS):
            files.append(ManifestFile(path=path, size_bytes=found.size_bytes, sha256=""))
        if len(files) >= _LISTED_MAX:
            break
    return ManifestVerdict(problem=None if files else "The job's folder is empty.", files=files)


async def _file_problem(store: ObjectStore, folder: str, file: ManifestFile) -> str | None:
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts:
        return "The manifest names a file outside the job's folder."
    try:
        found = await store.head(f"{folder}/{file.path}")
    except ObjectNotFound:
        return f"The file {file.path} is missing."
    if found.size_bytes != file.size_bytes:
        return f"The file {file.path} has {found.size_bytes} bytes instead of {file.size_bytes}."
    return None
