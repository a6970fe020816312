import hashlib
from collections.abc import AsyncIterator
from typing import Any, Self

import msgspec
import pytest

from support.job_samples import attempt, job
from tunegate.contract.attempt import Manifest, ManifestFile, SucceededEvent
from tunegate.control.manifest import ManifestVerifier
from tunegate.control.observation import ManifestVerdict
from tunegate.sdk.storage import (
    AccessDenied,
    ObjectInfo,
    ObjectNotFound,
    StorageError,
    StoreUnavailable,
)

JOB = job()
ATTEMPT = msgspec.structs.replace(attempt(JOB), fence=7)
FOLDER = JOB.output_uri
FILES = [ManifestFile(path="adapter/weights.safetensors", size_bytes=3, sha256="0" * 64)]


class Bucket:
    """Objects in a dict; `trouble` is raised by every call."""

    def __init__(self, objects: dict[str, bytes], trouble: Exception | None = None) -> None:
        self.objects = objects
        self.trouble = trouble

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def read(self, uri: str) -> bytes:
        if self.trouble:
            raise self.trouble
        if uri not in self.objects:
            raise ObjectNotFound(uri)
        return self.objects[uri]

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        if self.trouble:
            raise self.trouble
        for uri in sorted(self.objects):
            if uri.startswith(prefix):
                yield ObjectInfo(uri=uri, size_bytes=len(self.objects[uri]))

    async def head(self, uri: str) -> ObjectInfo:
        return ObjectInfo(uri=uri, size_bytes=len(await self.read(uri)))


def bucket(**changes: Any) -> tuple[Bucket, SucceededEvent]:
    """A complete result, and the trainer's word for it."""
    manifest = Manifest(
        job_id=JOB.job_id, attempt=1, fence=7, created_at="2030-01-01T00:00:00Z", files=FILES
    )
    content = msgspec.json.encode(msgspec.structs.replace(manifest, **changes))
    objects = {
        f"{FOLDER}manifest.json": content,
        f"{FOLDER}adapter/weights.safetensors": b"abc",
    }
    claim = SucceededEvent(
        manifest_uri=f"{FOLDER}manifest.json",
        manifest_sha256=hashlib.sha256(content).hexdigest(),
        detail="done",
    )
    return Bucket(objects), claim


async def verdict(store: Bucket, claim: SucceededEvent | None) -> ManifestVerdict:
    async def open_store(_job: Any) -> Any:
        return store

    return await ManifestVerifier(open_store)(JOB, ATTEMPT, claim)


async def problem(store: Bucket, claim: SucceededEvent) -> str:
    said = (await verdict(store, claim)).problem
    assert said is not None
    return said


async def test_a_complete_result_verifies_and_its_files_are_told() -> None:
    result = await verdict(*bucket())
    assert result.valid
    assert result.files == FILES


async def test_a_missing_manifest() -> None:
    store, claim = bucket()
    del store.objects[claim.manifest_uri]
    assert "manifest is not there" in await problem(store, claim)


async def test_another_manifest_than_the_announced_one() -> None:
    store, claim = bucket()
    store.objects[claim.manifest_uri] += b" "
    assert "announced" in await problem(store, claim)


async def test_a_manifest_of_a_run_that_lost_the_claim() -> None:
    assert "lost the claim" in await problem(*bucket(fence=6))


async def test_a_missing_file() -> None:
    store, claim = bucket()
    del store.objects[f"{FOLDER}adapter/weights.safetensors"]
    assert "is missing" in await problem(store, claim)


async def test_a_file_cut_short() -> None:
    store, claim = bucket()
    store.objects[f"{FOLDER}adapter/weights.safetensors"] = b"ab"
    assert "2 bytes instead of 3" in await problem(store, claim)


@pytest.mark.parametrize("path", ["../other/file", "/etc/passwd", "a/../../b"])
async def test_a_path_outside_the_folder(path: str) -> None:
    files = [ManifestFile(path=path, size_bytes=1, sha256="0" * 64)]
    assert "outside" in await problem(*bucket(files=files))


async def test_a_manifest_elsewhere() -> None:
    store, claim = bucket()
    elsewhere = msgspec.structs.replace(claim, manifest_uri="s3://other/manifest.json")
    assert "own folder" in await problem(store, elsewhere)


async def test_something_else_than_a_manifest() -> None:
    store, claim = bucket()
    store.objects[claim.manifest_uri] = b"[]"
    claim = msgspec.structs.replace(claim, manifest_sha256=hashlib.sha256(b"[]").hexdigest())
    assert "can't be read" in await problem(store, claim)


async def test_credentials_that_do_not_suffice() -> None:
    store, claim = bucket()
    store.trouble = AccessDenied("no permission to read the bucket")
    assert "no permission" in await problem(store, claim)


async def test_a_store_in_trouble_says_nothing_of_the_result() -> None:
    store, claim = bucket()
    store.trouble = StoreUnavailable("no answer")
    with pytest.raises(StoreUnavailable):
        await verdict(store, claim)


async def test_without_a_manifest_the_files_but_checkpoints_are_the_result() -> None:
    there = {"model.bin": b"abc", "sub/config.json": b"{}", "checkpoints/step-1/a": b"x"}
    store = Bucket({FOLDER + path: content for path, content in there.items()})
    store.objects["s3://bucket/somebody-elses/model.bin"] = b"abcd"
    result = await verdict(store, None)
    assert result.valid
    assert [(file.path, file.size_bytes) for file in result.files] == [
        ("model.bin", 3),
        ("sub/config.json", 2),
    ]


async def test_without_a_manifest_an_empty_folder_is_none() -> None:
    for there in ({}, {f"{FOLDER}checkpoints/step-1/a": b"x"}):
        assert (await verdict(Bucket(there), None)).problem == "The job's folder is empty."


async def test_without_a_manifest_trouble_says_nothing_either() -> None:
    with pytest.raises(StoreUnavailable):
        await verdict(Bucket({}, StoreUnavailable("503")), None)


@pytest.mark.parametrize(("error", "denied"), [(AccessDenied("no"), True), (StorageError("odd"), False)])  # fmt: skip
async def test_what_may_not_be_read_is_told_apart(error: StorageError, denied: bool) -> None:
    async def open_store(_job: Any) -> Any:
        raise error

    _, claim = bucket()
    for word in (claim, None):
        found = await ManifestVerifier(open_store)(JOB, ATTEMPT, word)
        assert (found.valid, found.denied) == (False, denied)
