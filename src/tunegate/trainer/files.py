"""Files of a result or a checkpoint, as manifests describe them."""

import hashlib
from pathlib import Path

from tunegate.contract.attempt import ManifestFile


def files_below(root: Path) -> list[Path]:
    """All files of a folder, in order of name."""
    return sorted(path for path in root.rglob("*") if path.is_file())


def describe_files(root: Path) -> list[ManifestFile]:
    """All of them with size and hash."""
    return [describe_file(path, root) for path in files_below(root)]


def describe_file(path: Path, root: Path) -> ManifestFile:
    """Name, size and SHA-256 of a file below `root`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = path.relative_to(root).as_posix()
    return ManifestFile(path=name, size_bytes=path.stat().st_size, sha256=digest)
