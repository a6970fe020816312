"""Archives that somebody else made."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tunegate.sdk.errors import TunegateError
from tunegate.trainer import archive
from tunegate.trainer.archive import is_archive, unpack


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as bundle:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            bundle.addfile(info, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_of(path: Path, name: str, content: bytes, mode: int = stat.S_IFREG | 0o644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        bundle.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tar, parent": (lambda p: tar_of(p, (entry("../evil"), b"x")), "leads out"),
    "tar, absolute": (lambda p: tar_of(p, (entry("/tmp/evil"), b"x")), "leads out"),
    "tar, link": (lambda p: tar_of(p, (entry("a", tarfile.SYMTYPE, "/etc/passwd"), b"")), "link"),
    "tar, hard link": (lambda p: tar_of(p, (entry("a", tarfile.LNKTYPE, "b"), b"")), "link"),
    "tar, device": (lambda p: tar_of(p, (entry("a", tarfile.CHRTYPE), b"")), "no plain file"),
    "tar, twice": (lambda p: tar_of(p, (entry("a"), b"x"), (entry("a"), b"y")), "can't be unpacked"),
    "zip, parent": (lambda p: zip_of(p, "x/../../evil", b"x"), "leads out"),
    "zip, backslash": (lambda p: zip_of(p, "..\\evil", b"x"), "leads out"),
    "zip, drive": (lambda p: zip_of(p, "c:evil", b"x"), "leads out"),
    "zip, link": (lambda p: zip_of(p, "a", b"/etc/passwd", stat.S_IFLNK | 0o777), "link"),
    "zip, bomb": (lambda p: zip_of(p, "a", bytes(20_000)), "far more bytes"),
    "tar, bomb": (lambda p: tar_of(p, (entry("a"), bytes(20_000))), "far more bytes"),
    "noise": (lambda p: (p.write_bytes(b"no archive at all"), p)[1], "can't be unpacked"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_writes_nothing_outside(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "SMALL_BYTES", 1000)
    make, words = BAD[name]
    bundle = make(tmp_path / "bundle")
    with pytest.raises(TunegateError, match=words) as caught:
        unpack(bundle, tmp_path / "in" / "side", "The archive")
    assert caught.value.code == "model_invalid"
    assert not list(tmp_path.rglob("evil"))


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 2)
    bundle = tar_of(tmp_path / "b", *((entry(f"f{n}"), b"x") for n in range(3)))
    with pytest.raises(TunegateError, match="more than 2 files"):
        unpack(bundle, tmp_path / "in", "The archive")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_good_archive(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{kind}"
    if kind == "zip":
        zip_of(path, "model/config.json", b"{}")
    else:
        members = ((entry("model", tarfile.DIRTYPE), b""), (entry("model/config.json"), b"{}"))
        tar_of(path, *members, mode="w" if kind == "tar" else "w:gz")
    assert is_archive(str(path))
    unpack(path, tmp_path / "in", "The archive")
    assert (tmp_path / "in" / "model" / "config.json").read_bytes() == b"{}"
