"""Bring every data set of a job to files on this machine."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from tunegate.contract.base import Wire
from tunegate.contract.request import Auth, DatasetFormat
from tunegate.contract.secret import Secret
from tunegate.contract.training import DataSource, StoragePolicy, TrainerSecrets, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import ObjectNotFound, ObjectStore
from tunegate.storage.addresses import scheme_of, shown
from tunegate.storage.file import FileStore
from tunegate.storage.open import open_store
from tunegate.trainer.data.failures import data_failures
from tunegate.trainer.data.hub import FetchedFile, fetch_hub
from tunegate.trainer.data.select import choose_files

Say = Callable[[str], None]
"""Takes one line for the job's log."""
OpenStore = Callable[[str, StoragePolicy, Auth | None], AbstractAsyncContextManager[ObjectStore]]
ItemT = TypeVar("ItemT")


class LocalFile(Wire):
    """A fetched file. `name` is what error messages call it; `sha256` is of the bytes as they were fetched.

    `modified_ns` is when it was last written to, 0 where nobody asked.
    """

    path: Path
    name: str
    size_bytes: int
    sha256: str
    modified_ns: int = 0

    def require_unchanged(self) -> None:
        """Raises TunegateError data_invalid when the file is no longer what was fetched."""
        now = self.path.stat()
        if self.modified_ns and (now.st_size, now.st_mtime_ns) != (
            self.size_bytes,
            self.modified_ns,
        ):
            raise TunegateError("data_invalid", f"{self.name} was changed while it was read")


class LocalSource(Wire):
    """One entry of `datasets`, fetched. `source` is its address without query or user info."""

    source: str
    format: DatasetFormat
    split: str | None
    weight: float
    streaming: bool
    files: list[LocalFile]


async def fetch_sources(
    spec: TrainingSpec,
    secrets: TrainerSecrets,
    work_dir: Path,
    say: Say,
    *,
    opener: OpenStore = open_store,
) -> list[LocalSource]:
    """Download all data sets below `work_dir/data`, in the order of `spec.datasets`; local files stay where they are.

    Raises TunegateError data_not_found, data_access_denied or storage_unavailable; messages name the address
    without its query.
    """
    sources: list[LocalSource] = []
    for index, source in enumerate(spec.datasets):
        auth = _at(secrets.datasets, index)
        folder = work_dir / "data" / str(index)
        for private in (folder.parent, folder):
            private.mkdir(parents=True, exist_ok=True, mode=0o700)
        if source.format == "hf":
            token = (auth.token if auth else None) or secrets.hub_token
            fetched = await fetch_hub(source, spec.storage.hub_endpoint, token, folder)
        else:
            with data_failures(shown(source.source)):
                async with opener(source.source, spec.storage, auth) as store:
                    query = _at(secrets.dataset_queries, index)
                    fetched = await _download(store, source, query, folder)
        label = f"datasets[{index}]/" if len(spec.datasets) > 1 else ""
        files = [await asyncio.to_thread(_describe, file, label) for file in fetched]
        size = sum(file.size_bytes for file in files)
        say(f"fetched {shown(source.source)}: {len(files)} file(s), {size:,} bytes")
        sources.append(
            LocalSource(
                source=shown(source.source),
                format=source.format,
                split=source.split,
                weight=source.weight,
                streaming=source.streaming,
                files=files,
            )
        )
    return sources


async def _download(
    store: ObjectStore, source: DataSource, query: Secret | None, folder: Path
) -> list[FetchedFile]:
    """One file, or the data files of the split below a folder (an address that ends in a slash, or that is no object)."""
    address = source.source
    if not address.endswith("/"):
        web = scheme_of(address) in {"http", "https"}
        name = address.rsplit("/", 1)[-1]
        target = folder / "0"
        full = f"{address}?{query.reveal()}" if query else address
        try:
            path = await _bring(store, full, target)
            return [FetchedFile(path, unquote(name) if web else name)]
        except ObjectNotFound:
            if web:
                raise
            address += "/"
    # Only the part below the folder tells the split: the folder itself may well be called "test".
    names = [info.uri.removeprefix(address) async for info in store.list(address)]
    chosen = choose_files(names, source.split)
    if not chosen:
        raise TunegateError(
            "data_not_found",
            f"{shown(source.source)} is no file, and no folder with JSONL, CSV or parquet files of this split",
        )
    found: list[FetchedFile] = []
    for number, name in enumerate(chosen):
        target = folder / str(number)
        found.append(FetchedFile(await _bring(store, address + name, target), name))
    return found


async def _bring(store: ObjectStore, address: str, target: Path) -> Path:
    """Where the object is on this machine now; a file that is there already is not copied."""
    if isinstance(store, FileStore):
        return await store.local_path(address)
    await store.download(address, target)
    return target


def _describe(file: FetchedFile, label: str) -> LocalFile:
    with file.path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return LocalFile(
        path=file.path,
        name=label + file.name,
        size_bytes=status.st_size,
        sha256=digest,
        modified_ns=status.st_mtime_ns,
    )


def _at(items: Sequence[ItemT | None], index: int) -> ItemT | None:
    """The parallel lists of TrainerSecrets may be shorter than the list of data sets."""
    return items[index] if index < len(items) else None
