"""The store opens only where acknowledged work is safe."""

import asyncio
import sys
from pathlib import Path

import apsw
import pytest

from support.job_samples import ManualClock
from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.store.sqlite import SqliteStore, connection, safety, store
from tunegate.control.store.sqlite.safety import check_sqlite_version, file_system_type

LOCKS = Path("/proc/locks")
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/local tmpfs rw 0 0
//nas/share /mnt/my\\040disk cifs rw 0 0
/dev/sdb1 /over xfs rw 0 0
server:/over /over nfs rw 0 0
server:/d /srv/données nfs4 rw 0 0
//nas/t /mnt/tab\\011é cifs rw 0 0
bucket /mnt/bucket fuse.juicefs rw 0 0
"""


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "2.99.99"])
def test_old_sqlite_is_refused(version: str) -> None:
    with pytest.raises(StoreUnsafe, match="install apsw"):
        check_sqlite_version(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.1", "4.0.0", None])
def test_new_sqlite_is_taken(version: str | None) -> None:
    check_sqlite_version(version)


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/tunegate", "ext4"),
        ("/home/me", "nfs4"),
        ("/home/local/me", "tmpfs"),
        ("/homestead", "ext4"),
        ("/mnt/my disk/a", "cifs"),
        ("/over/a", "nfs"),
        ("/srv/données/a", "nfs4"),
        ("/mnt/tab\té/a", "cifs"),
        ("/mnt/bucket", "fuse.juicefs"),
    ],
)
def test_the_innermost_mount_counts(folder: str, kind: str) -> None:
    assert file_system_type(Path(folder), MOUNTS) == kind


async def test_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/all / nfs4 rw 0 0\n")
    monkeypatch.setattr(safety, "_MOUNTS", mounts)
    with pytest.raises(StoreUnsafe, match="nfs4"):
        await SqliteStore(tmp_path / "jobs.db", ManualClock()).open()


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "jobs.db", ManualClock())
    await first.open()
    with pytest.raises(StoreUnsafe, match="Another gateway"):
        await SqliteStore(tmp_path / "jobs.db", ManualClock()).open()
    assert not await can_be_locked(tmp_path / "jobs.db.lock")
    await first.close()
    assert await can_be_locked(tmp_path / "jobs.db.lock")


async def test_a_second_process_is_refused_by_any_name_of_the_file(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "jobs.db", ManualClock())
    await first.open()
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "link.db"
    other.symlink_to(tmp_path / "jobs.db")
    with pytest.raises(StoreUnsafe, match="Another gateway"):
        await SqliteStore(other, ManualClock()).open()
    await first.close()


@pytest.mark.skipif(not LOCKS.exists(), reason="no list of locks here")
async def test_a_refused_store_leaves_the_locks_of_the_open_one(tmp_path: Path) -> None:
    """POSIX takes away all locks of a process on a file when it closes any descriptor of it."""
    first = SqliteStore(tmp_path / "jobs.db", ManualClock())
    await first.open()
    await first.ping()
    with pytest.raises(StoreUnsafe):
        await SqliteStore(tmp_path / "jobs.db", ManualClock()).open()
    assert locks_held(tmp_path / "jobs.db") > 0
    await first.close()


def locks_held(path: Path) -> int:
    """How many POSIX locks there are on the file."""
    name = f":{path.stat().st_ino} "
    return sum(name in line and "POSIX" in line for line in LOCKS.read_text().splitlines())


async def can_be_locked(path: Path) -> bool:
    """Whether another process gets the flock."""
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stderr=asyncio.subprocess.DEVNULL
    )
    return await child.wait() == 0


async def test_anything_less_than_full_sync_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(path: Path) -> apsw.Connection:
        class Careless(apsw.Connection):
            def execute(self, statements: str, *args: object, **kwargs: object) -> apsw.Cursor:
                return super().execute(statements.replace("FULL", "NORMAL"), *args, **kwargs)  # type: ignore[arg-type]

        return Careless(str(path))

    monkeypatch.setattr(connection, "_open", careless)
    with pytest.raises(StoreUnsafe, match="synchronous"):
        await SqliteStore(tmp_path / "jobs.db", ManualClock()).open()


async def test_a_refused_store_lets_go_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnsafe("no")

    with monkeypatch.context() as patch:
        patch.setattr(store, "migrate", refuse)
        with pytest.raises(StoreUnsafe):
            await SqliteStore(tmp_path / "jobs.db", ManualClock()).open()
    again = SqliteStore(tmp_path / "jobs.db", ManualClock())
    await again.open()
    await again.close()


async def test_files_are_private_even_where_they_were_not(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    opened = SqliteStore(folder / "jobs.db", ManualClock())
    await opened.open()
    await opened.ping()
    assert folder.stat().st_mode & 0o777 == 0o700
    names = {path.name for path in folder.iterdir()}
    assert names == {"jobs.db", "jobs.db-wal", "jobs.db-shm", "jobs.db.lock"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    await opened.close()
    (folder / "jobs.db").chmod(0o644)
    again = SqliteStore(folder / "jobs.db", ManualClock())
    await again.open()
    await again.close()
    assert (folder / "jobs.db").stat().st_mode & 0o777 == 0o600
