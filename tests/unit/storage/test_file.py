import os
from pathlib import Path

import pytest

from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import (
    AccessDenied,
    NotAllowed,
    ObjectNotFound,
    StorageError,
    Unsupported,
)
from tunegate.storage.file import FileStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return root


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(StoragePolicy(file_roots=[str(root)]))


async def refused_everywhere(store: FileStore, uri: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    for attempt in (
        store.head(uri),
        store.read(uri),
        store.write(uri, b"x"),
        store.write(uri, b"x", if_absent=True),
        store.upload(source, uri),
        store.download(uri, tmp_path / "target"),
        store.local_path(uri),
        store.delete(uri),
    ):
        with pytest.raises(NotAllowed):
            await attempt
    with pytest.raises(NotAllowed):
        _ = [chunk async for chunk in store.stream(uri)]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["secret"]
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "{tmp}/outside/secret", "file://{tmp}/outside/secret", "file://localhost{tmp}/outside/secret",
        "{tmp}/root/../outside/secret", "file://{tmp}/root/a/../../outside/secret", "{tmp}/root-evil/secret",
        "/etc/passwd", "relative/secret", "{tmp}/root", "{tmp}/root/bad\0name", "{tmp}/root/..",
    ],
)  # fmt: skip
async def test_outside_the_roots_nothing_goes(
    store: FileStore, uri: str, tmp_path: Path, root: Path
) -> None:
    await refused_everywhere(store, uri.replace("{tmp}", str(tmp_path)), tmp_path)


async def test_links_do_not_lead_out(store: FileStore, root: Path, tmp_path: Path) -> None:
    (root / "file-link").symlink_to(tmp_path / "outside" / "secret")
    (root / "folder-link").symlink_to(tmp_path / "outside")
    (root / "dangling").symlink_to(tmp_path / "outside" / "new")
    (tmp_path / "link-in").symlink_to(root / "inside")
    (root / "inside").write_text("fine")
    for uri in ("file-link", "folder-link/secret", "folder-link/new/deep", "dangling"):
        await refused_everywhere(store, f"{root}/{uri}", tmp_path)
    await refused_everywhere(store, f"{tmp_path}/link-in", tmp_path)
    assert [info.uri async for info in store.list(f"{root}/")] == [f"{root}/inside"]
    with pytest.raises(NotAllowed):
        _ = [info async for info in store.list(f"{root}/folder-link/")]


async def test_links_inside_the_roots_are_followed(store: FileStore, root: Path) -> None:
    (root / "real").write_text("data")
    (root / "link").symlink_to(root / "real")
    assert await store.read(f"file://{root}/link") == b"data"


async def test_no_roots_no_files(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="file_roots"):
        await FileStore(StoragePolicy()).read(str(tmp_path / "x"))


async def test_only_plain_files_are_objects(store: FileStore, root: Path) -> None:
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    for name in ("folder", "pipe", "folder/none/deeper"):
        with pytest.raises(ObjectNotFound):
            await store.read(f"{root}/{name}")
    (root / "plain").write_text("x")
    with pytest.raises(ObjectNotFound):
        await store.read(f"{root}/plain/below")


@pytest.mark.parametrize("uri", ["file://elsewhere/x", "file://", "ftp://host/x"])
async def test_other_machines_are_not_served(store: FileStore, uri: str) -> None:
    with pytest.raises(Unsupported):
        await store.read(uri)


async def test_a_write_that_fails_leaves_nothing(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(f"{root}/x", b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        await store.write(f"{root}/x", b"new")
    assert (root / "x").read_text() == "old"
    assert [path.name for path in root.iterdir()] == ["x"]


async def test_missing_rights_are_named(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (root / "x").write_text("x")
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(AccessDenied):
        await store.read(f"{root}/x")


async def test_a_missing_source_is_the_callers_error(store: FileStore, root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await store.upload(root / "none", f"{root}/x")
