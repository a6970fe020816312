"""What must hold before we trust a place with jobs: the SQLite build, the file system, and that nobody else writes."""

import fcntl
import os
import re
from pathlib import Path

import apsw

from tunegate.control.store.errors import StoreUnsafe

OLDEST_SQLITE = (3, 51, 3)
"""Versions before it can corrupt a WAL database when a reset races with a checkpoint."""

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"coda", "davfs", "gfs2", "ocfs2", "orangefs", "panfs", "smb2", "smb3", "smbfs", "virtiofs"}
    | {"prl_fs", "vboxsf", "vmhgfs", "wekafs"}
    | {"fuse.blobfuse", "fuse.blobfuse2", "fuse.ceph", "fuse.cephfs", "fuse.davfs", "fuse.gcsfuse"}
    | {"fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.mfs", "fuse.moosefs", "fuse.rclone"}
    | {"fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs", "fuse.mountpoint-s3", "fuse.vmhgfs-fuse"}
)
_ESCAPED = re.compile(r"\\([0-7]{3})")
_MOUNTS = Path("/proc/self/mounts")


def check_sqlite_version(version: str | None = None) -> None:
    """Raises StoreUnsafe when the SQLite inside apsw is too old."""
    found = version or apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")) < OLDEST_SQLITE:
        oldest = ".".join(str(part) for part in OLDEST_SQLITE)
        raise StoreUnsafe(f"SQLite {found} can corrupt the job store; install apsw >= {oldest}.")


def file_system_type(folder: Path, mounts: str) -> str | None:
    """The type of the file system that holds `folder`, from the text of /proc/self/mounts."""
    best, found = -1, None
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        mount_point = Path(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), point))
        # Of two mounts on the same point, the later one covers the earlier.
        if folder.is_relative_to(mount_point) and len(mount_point.parts) >= best:
            best, found = len(mount_point.parts), kind
    return found


def check_file_system(folder: Path) -> None:
    """Raises StoreUnsafe on a network file system: WAL needs shared memory and honest locks."""
    if not _MOUNTS.exists():
        return
    kind = file_system_type(folder.resolve(), os.fsdecode(_MOUNTS.read_bytes()))
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreUnsafe(f"The job store's folder is on {kind}; choose a folder on a local disk.")


class FileLock:
    """An exclusive flock on `path`, held from `acquire` to `release` or to the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises StoreUnsafe when another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreUnsafe(
                f"Another gateway has {self._path.stem} open; stop it first."
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
