"""The manifest comes last, and only the newest claim's stays."""

from pathlib import Path

import msgspec
import pytest

from tunegate.contract.attempt import Manifest
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import ObjectInfo
from tunegate.storage.file import FileStore
from tunegate.trainer.files import describe_files
from tunegate.trainer.publish import check_writable, publish


@pytest.fixture
def result(tmp_path: Path) -> Path:
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "weights").write_bytes(b"w" * 10)
    (folder / "README.md").write_text("hello")
    return folder


def store_of(root: Path) -> FileStore:
    return FileStore(StoragePolicy(file_roots=[str(root)]))


def manifest_of(tmp_path: Path) -> Manifest:
    return msgspec.json.decode((tmp_path / "out" / "manifest.json").read_bytes(), type=Manifest)


async def put(tmp_path: Path, result: Path, fence: int) -> tuple[str, str]:
    prefix, store = f"file://{tmp_path}/out/", store_of(tmp_path)
    files = describe_files(result)
    return await publish(store, result, prefix, files, job_id="j", attempt=1, fence=fence)


async def test_files_and_then_the_manifest(tmp_path: Path, result: Path) -> None:
    uri, sha256 = await put(tmp_path, result, 3)
    assert uri.endswith("/out/manifest.json")
    assert len(sha256) == 64
    manifest = manifest_of(tmp_path)
    assert (manifest.fence, [f.path for f in manifest.files]) == (3, ["README.md", "weights"])


@pytest.mark.parametrize("first", [2, 3])
async def test_an_older_claim_or_the_same_is_replaced(
    tmp_path: Path, result: Path, first: int
) -> None:
    await put(tmp_path, result, first)
    await put(tmp_path, result, 3)
    assert manifest_of(tmp_path).fence == 3


async def test_a_newer_claim_is_left_alone(tmp_path: Path, result: Path) -> None:
    await put(tmp_path, result, 4)
    (result / "weights").write_bytes(b"zombie")
    with pytest.raises(TunegateError) as caught:
        await put(tmp_path, result, 3)
    assert caught.value.code == "superseded"
    assert manifest_of(tmp_path).fence == 4
    assert (tmp_path / "out" / "weights").read_bytes() == b"w" * 10


async def test_the_write_check_leaves_nothing(tmp_path: Path) -> None:
    await check_writable(store_of(tmp_path), f"file://{tmp_path}/out/", "uid")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_the_write_check_fails_where_nothing_may_be_written(tmp_path: Path) -> None:
    with pytest.raises(TunegateError, match="does not allow") as caught:
        await check_writable(store_of(tmp_path / "a"), f"file://{tmp_path}/out/", "uid")
    assert caught.value.code == "output_not_writable"


async def test_a_file_that_changed_since_it_was_written(tmp_path: Path, result: Path) -> None:
    files = describe_files(result)
    (result / "README.md").write_text("hellu")
    with pytest.raises(TunegateError, match=r"README\.md") as caught:
        await publish(
            store_of(tmp_path), result, f"file://{tmp_path}/out/", files,
            job_id="j", attempt=1, fence=1,
        )  # fmt: skip
    assert caught.value.code == "artifact_damaged"


async def test_a_store_that_spoils_what_it_is_given(tmp_path: Path, result: Path) -> None:
    class Spoiling(FileStore):
        async def upload(self, source: Path, uri: str) -> ObjectInfo:
            info = await super().upload(source, uri)
            await self.write(uri, b"x" * info.size_bytes)
            return info

    store = Spoiling(StoragePolicy(file_roots=[str(tmp_path)]))
    with pytest.raises(TunegateError, match="as it was sent") as caught:
        await publish(
            store, result, f"file://{tmp_path}/out/", describe_files(result),
            job_id="j", attempt=1, fence=1,
        )  # fmt: skip
    assert caught.value.code == "artifact_damaged"
    assert not (tmp_path / "out" / "manifest.json").exists()
