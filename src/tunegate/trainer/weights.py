"""Bring the base model to a folder of this machine: from the hub, a path, a bucket or an archive."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.request import Auth
from tunegate.contract.training import StoragePolicy, TrainerSecrets, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import ObjectNotFound, ObjectStore
from tunegate.trainer.archive import is_archive, unpack
from tunegate.trainer.errors import model_storage_errors
from tunegate.trainer.hub import download_from_hub, weight_patterns

TEXTS = (".json", ".jinja", ".txt", ".model")
WANTED = (*TEXTS, ".safetensors", ".bin")
SINGLE_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "tokenizer.model",
    "vocab.json", "merges.txt",
)  # fmt: skip
"""What is asked for where a folder can't be listed."""
AT_ONCE = 8


class OpenStore(Protocol):
    def __call__(
        self, uri: str, policy: StoragePolicy, auth: Auth | None
    ) -> AbstractAsyncContextManager[ObjectStore]: ...


async def fetch_model(
    spec: TrainingSpec,
    secrets: TrainerSecrets,
    work_dir: Path,
    open_store: OpenStore,
    *,
    with_weights: bool = True,
) -> Path:
    """A folder with config, tokenizer and, unless they are not wanted, weights.

    Raises TunegateError model_not_found, model_access_denied, model_invalid or storage_unavailable.
    """
    source = spec.model
    address = source.weights_url or source.name
    if "://" in address or address.startswith(("/", "./", "../", "~")):
        fetch = _Fetch(spec, secrets, work_dir / "model", open_store, with_weights=with_weights)
        folder = await fetch.folder(address)
    else:
        endpoint = spec.storage.hub_endpoint
        folder = await asyncio.to_thread(
            download_from_hub, source, endpoint, secrets.hub_token, with_weights=with_weights
        )
    if with_weights:
        check_folder(folder, address, allow_pickle=source.allow_pickle)
    return folder


def check_folder(folder: Path, address: str, *, allow_pickle: bool) -> None:
    """Refuse what is no model in Hugging Face format. Raises TunegateError model_invalid."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    what = f"The model at {address}"
    if "config.json" not in names:
        if any(name.endswith(".nemo") for name in names):
            weight_patterns(names, what, allow_pickle=False)
        hint = " (it is an adapter: name its base)" if "adapter_config.json" in names else ""
        raise TunegateError("model_invalid", f"{what} has no config.json{hint}.")
    weight_patterns(names, what, allow_pickle=allow_pickle)
    if not {"tokenizer.json", "tokenizer.model", "vocab.json"} & set(names):
        raise TunegateError("model_invalid", f"{what} has no tokenizer files.")


class _Index(Wire):
    """model.safetensors.index.json: which shard holds which tensor."""

    weight_map: dict[str, str]


def shards_of(folder: Path) -> list[str]:
    """The names of the files that hold the weights. Raises TunegateError model_invalid."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return ["model.safetensors"]
    try:
        named = set(msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values())
    except msgspec.DecodeError as error:
        raise TunegateError("model_invalid", f"{index.name} can't be read.") from error
    if any("/" in shard or not shard.endswith(".safetensors") for shard in named):
        raise TunegateError("model_invalid", f"{index.name} names files that are no shards.")
    return sorted(named)


class _Fetch:
    """One model from an address to `target`."""

    def __init__(
        self,
        spec: TrainingSpec,
        secrets: TrainerSecrets,
        target: Path,
        open_store: OpenStore,
        *,
        with_weights: bool = True,
    ) -> None:
        self._wanted = WANTED if with_weights else TEXTS
        self._policy = spec.storage
        self._target = target
        self._open = open_store
        self._auth = secrets.artifacts or next(iter(secrets.datasets), None)
        query = secrets.weights_query if spec.model.weights_url else None
        self._query = f"?{query.reveal()}" if query else ""

    async def folder(self, address: str) -> Path:
        parts = urlsplit(address)
        if parts.path.endswith(".nemo"):
            weight_patterns([parts.path], f"The model at {address}", allow_pickle=False)
        if is_archive(parts.path):
            return await self._archive(address)
        if parts.scheme in {"", "file"}:
            return self._local(unquote(parts.path))
        with model_storage_errors(address):
            async with self._open(address, self._policy, self._auth) as store:
                if parts.scheme in {"http", "https"}:
                    await self._unlisted(store, address.rstrip("/") + "/")
                else:
                    await self._listed(store, address.rstrip("/") + "/")
        return self._target

    def _local(self, path: str) -> Path:
        folder = Path(path).expanduser().resolve()
        roots = [Path(root).resolve() for root in self._policy.file_roots]
        if not any(folder.is_relative_to(root) for root in roots):
            raise TunegateError(
                "model_access_denied", f"The operator does not allow to read {path}."
            )
        if not folder.is_dir():
            raise TunegateError("model_not_found", f"No folder is at {path}.")
        return folder

    async def _archive(self, address: str) -> Path:
        file = self._target / f"archive-{PurePosixPath(urlsplit(address).path).name}"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with model_storage_errors(address):
            async with self._open(address, self._policy, self._auth) as store:
                await store.download(address + self._query, file)
        inside = self._target / "unpacked"
        await asyncio.to_thread(unpack, file, inside, f"The archive {address}")
        file.unlink()
        configs = sorted(inside.rglob("config.json"), key=lambda path: len(path.parts))
        return configs[0].parent if configs else inside

    async def _listed(self, store: ObjectStore, prefix: str) -> None:
        """Every wanted file right below the folder."""
        names = [
            info.uri.removeprefix(prefix)
            async for info in store.list(prefix)
            if "/" not in info.uri.removeprefix(prefix)
        ]
        if not names:
            raise ObjectNotFound(prefix)
        await self._download(store, prefix, [n for n in names if n.endswith(self._wanted)])

    async def _unlisted(self, store: ObjectStore, prefix: str) -> None:
        """A folder behind https: ask for the files by their usual names."""
        await self._download(store, prefix, ["config.json"])
        await self._download(store, prefix, list(SINGLE_FILES[1:]), optional=True)
        if self._wanted is TEXTS:
            return
        await self._download(store, prefix, ["model.safetensors.index.json"], optional=True)
        await self._download(store, prefix, shards_of(self._target))

    async def _download(
        self, store: ObjectStore, prefix: str, names: list[str], *, optional: bool = False
    ) -> None:
        limit = asyncio.Semaphore(AT_ONCE)
        self._target.mkdir(parents=True, exist_ok=True, mode=0o700)

        async def one(name: str) -> None:
            async with limit:
                try:
                    await store.download(prefix + name + self._query, self._target / name)
                except ObjectNotFound:
                    if not optional:
                        raise

        await asyncio.gather(*(one(name) for name in names))
