"""Fetching: one file, folders and splits, hub data sets; storage trouble as codes of the catalogue."""

import gzip
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import (
    DataSource,
    ModelSource,
    OutputPlan,
    StoragePolicy,
    TrainerSecrets,
    TrainingSpec,
)
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import (
    AccessDenied,
    NotAllowed,
    ObjectInfo,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    StoreUnavailable,
    Unsupported,
)
from tunegate.trainer.data import fetch_sources


def spec(*sources: DataSource, **policy: Any) -> TrainingSpec:
    return TrainingSpec(
        job_id="job",
        method="lora",
        model=ModelSource(name="m"),
        datasets=list(sources),
        output=OutputPlan(output_uri="file:///out/"),
        storage=StoragePolicy(**policy),
    )


class OneObject(ObjectStore):
    """Holds one address (query included), or fails with `trouble`; remembers what it was asked for."""

    def __init__(self, address: str = "", trouble: StorageError | None = None) -> None:
        self.address = address
        self.trouble = trouble
        self.asked: list[str] = []
        self.auth: Auth | None = None

    def open(self, uri: str, policy: StoragePolicy, auth: Auth | None) -> "OneObject":
        self.asked.append(f"open {uri}")
        self.auth = auth
        return self

    async def download(self, uri: str, target: Path) -> ObjectInfo:
        self.asked.append(uri)
        if self.trouble:
            raise self.trouble
        if uri != self.address:
            raise ObjectNotFound("not there")
        target.write_bytes(b"{}\n")
        return ObjectInfo(uri=uri, size_bytes=3)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        if self.address.startswith(prefix):
            yield ObjectInfo(uri=self.address, size_bytes=3)

    head = read = stream = write = upload = delete = None  # type: ignore[assignment]


async def test_a_file_of_this_machine(tmp_path: Path) -> None:
    data = gzip.compress(b'{"text": "x"}\n')
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "my data.jsonl.gz").write_bytes(data)
    said: list[str] = []
    job = spec(
        DataSource(source=f"file://{tmp_path}/in/my data.jsonl.gz", weight=0.5),
        file_roots=[str(tmp_path)],
    )
    [source] = await fetch_sources(job, TrainerSecrets(), tmp_path / "work", said.append)
    [file] = source.files
    assert file.path.read_bytes() == data
    assert file.path == tmp_path / "in" / "my data.jsonl.gz"  # read where it is: no copy
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert (file.name, file.size_bytes) == ("my data.jsonl.gz", len(data))
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    assert source.weight == 0.5
    assert said == [f"fetched {source.source}: 1 file(s), {len(data)} bytes"]


async def test_a_file_that_changes_after_it_was_fetched(tmp_path: Path) -> None:
    data = tmp_path / "a.jsonl"
    data.write_text('{"text": "x"}\n')
    job = spec(DataSource(source=str(data)), file_roots=[str(tmp_path)])
    [source] = await fetch_sources(job, TrainerSecrets(), tmp_path / "work", lambda _: None)
    [file] = source.files
    file.require_unchanged()
    data.write_text('{"text": "y"}\n')
    os.utime(data, ns=(0, file.modified_ns + 1))
    with pytest.raises(TunegateError) as caught:
        file.require_unchanged()
    assert (caught.value.code, caught.value.detail) == (
        "data_invalid",
        "a.jsonl was changed while it was read",
    )


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("split", "names"),
    [
        (None, ["a-train.jsonl", "deep/b.csv"]),
        ("train", ["a-train.jsonl"]),
        ("validation", ["val.jsonl"]),
    ],
)
async def test_a_folder(tmp_path: Path, slash: str, split: str | None, names: list[str]) -> None:
    folder = tmp_path / "in"
    for name in (
        "a-train.jsonl",
        "deep/b.csv",
        "val.jsonl",
        "README.md",
        "_SUCCESS",
        ".hidden.jsonl",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    job = spec(DataSource(source=f"{folder}{slash}", split=split), file_roots=[str(tmp_path)])
    [source] = await fetch_sources(job, TrainerSecrets(), tmp_path / "work", print)
    assert [file.name for file in source.files] == names
    assert [file.path.read_text() for file in source.files] == names


async def test_files_of_several_sources_are_told_apart(tmp_path: Path) -> None:
    store = OneObject("s3://b/a.jsonl")
    job = spec(
        DataSource(source="s3://b/a.jsonl"), DataSource(source="s3://b/a.jsonl", split="test")
    )
    sources = await fetch_sources(job, TrainerSecrets(), tmp_path, print, opener=store.open)
    assert [file.name for source in sources for file in source.files] == [
        "datasets[0]/a.jsonl",
        "datasets[1]/a.jsonl",
    ]
    assert sources[0].files[0].path != sources[1].files[0].path


async def test_credentials_and_query_reach_the_store_and_nobody_else(tmp_path: Path) -> None:
    store = OneObject("https://host/a.jsonl?sig=c4n4ry")
    auth = Auth(token=Secret("t"))
    secrets = TrainerSecrets(datasets=[auth], dataset_queries=[Secret("sig=c4n4ry")])
    said: list[str] = []
    job = spec(DataSource(source="https://host/a.jsonl"))
    [source] = await fetch_sources(job, secrets, tmp_path, said.append, opener=store.open)
    assert store.asked == ["open https://host/a.jsonl", "https://host/a.jsonl?sig=c4n4ry"]
    assert store.auth is auth
    assert "c4n4ry" not in f"{said} {source}"


async def test_a_name_on_the_web_is_unquoted(tmp_path: Path) -> None:
    store = OneObject("https://host/my%20data.jsonl")
    job = spec(DataSource(source=store.address))
    [source] = await fetch_sources(job, TrainerSecrets(), tmp_path, print, opener=store.open)
    assert source.files[0].name == "my data.jsonl"


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (ObjectNotFound("x"), "data_not_found"),
        (Unsupported("x"), "data_not_found"),
        (AccessDenied("x"), "data_access_denied"),
        (NotAllowed("x"), "data_access_denied"),
        (StoreUnavailable("x"), "storage_unavailable"),
        (StorageError("x"), "storage_unavailable"),
    ],
)
async def test_trouble_has_a_code(tmp_path: Path, trouble: StorageError, code: str) -> None:
    store = OneObject(trouble=trouble)
    job = spec(DataSource(source="https://host/a.jsonl"))
    secrets = TrainerSecrets(dataset_queries=[Secret("sig=c4n4ry")])
    with pytest.raises(TunegateError) as caught:
        await fetch_sources(job, secrets, tmp_path, print, opener=store.open)
    assert caught.value.code == code
    assert "https://host/a.jsonl" in caught.value.detail
    assert "c4n4ry" not in str(caught.value)


async def test_an_empty_prefix_is_not_found(tmp_path: Path) -> None:
    store = OneObject("s3://b/other.jsonl")
    with pytest.raises(TunegateError) as caught:
        await fetch_sources(
            spec(DataSource(source="s3://b/a")),
            TrainerSecrets(),
            tmp_path,
            print,
            opener=store.open,
        )
    assert caught.value.code == "data_not_found"


async def test_an_address_outside_the_roots_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    job = spec(DataSource(source=str(tmp_path / "a.jsonl")), file_roots=[str(tmp_path / "other")])
    with pytest.raises(TunegateError) as caught:
        await fetch_sources(job, TrainerSecrets(), tmp_path / "work", print)
    assert caught.value.code == "data_access_denied"


class Hub:
    """Stands in for huggingface_hub's client."""

    files = ("README.md", "data/train-00000.parquet", "data/test-00000.parquet")
    trouble: Exception | None = None
    seen: dict[str, Any]

    def __init__(self, endpoint: str | None, token: str | bool) -> None:
        Hub.seen = {"endpoint": endpoint, "token": token}

    def list_repo_files(self, repo: str, repo_type: str) -> list[str]:
        assert repo_type == "dataset"
        if self.trouble:
            raise self.trouble
        return list(self.files)

    def hf_hub_download(self, repo: str, name: str, *, repo_type: str, local_dir: Path) -> str:
        assert repo_type == "dataset"
        target = local_dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(name)
        return str(target)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(Hub, "trouble", None)
    return Hub


@pytest.mark.parametrize(
    ("split", "name"), [(None, "data/train-00000.parquet"), ("test", "data/test-00000.parquet")]
)
async def test_a_hub_data_set(tmp_path: Path, hub: type[Hub], split: str | None, name: str) -> None:
    job = spec(
        DataSource(source="org/data", format="hf", split=split), hub_endpoint="https://mirror"
    )
    secrets = TrainerSecrets(hub_token=Secret("workspace"))
    [source] = await fetch_sources(job, secrets, tmp_path, print)
    assert [file.name for file in source.files] == [name]
    assert hub.seen == {"endpoint": "https://mirror", "token": "workspace"}


async def test_the_data_sets_own_token_wins(tmp_path: Path, hub: type[Hub]) -> None:
    job = spec(DataSource(source="org/data", format="hf"))
    secrets = TrainerSecrets(hub_token=Secret("workspace"), datasets=[Auth(token=Secret("own"))])
    await fetch_sources(job, secrets, tmp_path, print)
    assert hub.seen["token"] == "own"
    await fetch_sources(job, TrainerSecrets(), tmp_path, print)
    assert hub.seen["token"] is False


def hub_error(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    import httpx

    request = httpx.Request("GET", "https://hub/x?c4n4ry")
    return kind("c4n4ry", response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (lambda: hub_error(RepositoryNotFoundError, 404), "data_not_found"),
        (lambda: hub_error(GatedRepoError, 403), "data_access_denied"),
        (lambda: hub_error(HfHubHTTPError, 401), "data_access_denied"),
        (lambda: hub_error(HfHubHTTPError, 502), "storage_unavailable"),
        (lambda: ConnectionError("c4n4ry"), "storage_unavailable"),
    ],
)
async def test_trouble_of_the_hub(
    tmp_path: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch, trouble: Any, code: str
) -> None:
    monkeypatch.setattr(hub, "trouble", trouble())
    with pytest.raises(TunegateError) as caught:
        await fetch_sources(
            spec(DataSource(source="org/data", format="hf")), TrainerSecrets(), tmp_path, print
        )
    assert caught.value.code == code
    assert "c4n4ry" not in str(caught.value)


async def test_a_hub_data_set_without_data_files(tmp_path: Path, hub: type[Hub]) -> None:
    with pytest.raises(TunegateError) as caught:
        await fetch_sources(
            spec(DataSource(source="org/data", format="hf", split="dev")),
            TrainerSecrets(),
            tmp_path,
            print,
        )
    assert caught.value.code == "data_not_found"
