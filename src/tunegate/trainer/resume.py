"""Finding the checkpoint to go on from: the newest that is whole and of this very training."""

import asyncio
import shutil
from pathlib import Path

from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import (
    AccessDenied,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    StoreUnavailable,
)
from tunegate.trainer.checkpoint import MARKER, folder_name, read_marker, step_of, verifies


async def list_checkpoints(store: ObjectStore, prefix: str) -> dict[int, list[str]]:
    """The files of every checkpoint below the output, complete or not, by step."""
    base = f"{prefix}checkpoints/"
    by_step: dict[int, list[str]] = {}
    async for info in store.list(base):
        step = step_of(info.uri.removeprefix(base).partition("/")[0])
        if step is not None:
            by_step.setdefault(step, []).append(info.uri)
    return by_step


async def fetch_newest(store: ObjectStore, prefix: str, work_dir: Path, digest: str) -> Path | None:
    """Download the newest checkpoint that verifies and is of this very training; None when there is none.

    A store that may be written but not listed counts as one without checkpoints. Raises TunegateError
    storage_unavailable.
    """
    try:
        by_step = await list_checkpoints(store, prefix)
        for step in sorted(by_step, reverse=True):
            address = f"{prefix}checkpoints/{folder_name(step)}/"
            folder = work_dir / "resume" / folder_name(step)
            if address + MARKER in by_step[step] and await _fetch(store, address, folder, digest):
                return folder
    except StoreUnavailable as error:
        sentence = "The checkpoints of the job can't be read."
        raise TunegateError("storage_unavailable", sentence) from error
    except (AccessDenied, ObjectNotFound):
        return None
    return None


async def _fetch(store: ObjectStore, address: str, folder: Path, digest: str) -> bool:
    """Exactly the files that the marker names, so that nothing older mixes in; whether they are as it says."""
    await asyncio.to_thread(_make_empty, folder)
    try:
        marker = read_marker(await store.read(address + MARKER))
        if marker is None or marker.digest != digest:
            return False
        names = [file.path for file in marker.files]
        await asyncio.gather(*(store.download(address + name, folder / name) for name in names))
    except (StoreUnavailable, AccessDenied):
        raise
    except StorageError:
        return False
    return await asyncio.to_thread(verifies, folder, marker)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
