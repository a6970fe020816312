"""The manifest comes last, and only the newest claim's stays."""

from pathlib import Path

import msgspec
import pytest

from tunegate.contract.attempt import Manifest
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.errors import TunegateError
from tunegate.storage.file import FileStore
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
    prefix = f"file://{tmp_path}/out/"
    return await publish(store_of(tmp_path), result, prefix, job_id="j", attempt=1, fence=fence)


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
