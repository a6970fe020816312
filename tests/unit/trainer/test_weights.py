"""Base models from everywhere: a hub, a path, a folder behind http, an archive; and those that are none."""

import hashlib
import json
import zipfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tunegate.contract.secret import Secret
from tunegate.contract.training import TrainerSecrets, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.storage.open import open_store
from tunegate.trainer.weights import fetch_model

SHA = "a" * 40


class FakeHub:
    """The few endpoints of the model hub that a download asks for; `gated/…` wants a token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.tokens: set[str | None] = set()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}/revision/{revision}", self._info)
        app.router.add_get("/api/models/{owner}/{name}/tree/{revision}", self._tree)
        app.router.add_get("/{owner}/{name}/resolve/{revision}/{path}", self._file)
        app.router.add_get("/plain/{path}", self._plain)
        return app

    def _files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def _refuse(self, request: web.Request) -> web.Response | None:
        self.tokens.add(request.headers.get("authorization"))
        code = ""
        if request.match_info["owner"] == "nobody":
            code = "RepoNotFound"
        elif request.match_info["revision"] == "v9":
            code = "RevisionNotFound"
        elif request.match_info["owner"] == "gated" and "resolve" in request.path:
            allowed = request.headers.get("authorization") == "Bearer hub-token"
            code = "" if allowed else "GatedRepo"
        status = 403 if code == "GatedRepo" else 404
        return (
            web.json_response({}, status=status, headers={"X-Error-Code": code}) if code else None
        )

    async def _info(self, request: web.Request) -> web.Response:
        if refusal := self._refuse(request):
            return refusal
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        siblings = [{"rfilename": path.name} for path in self._files()]
        return web.json_response({"id": name, "modelId": name, "sha": SHA, "siblings": siblings})

    async def _tree(self, request: web.Request) -> web.Response:
        entries = [
            {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _oid(p)}
            for p in self._files()
        ]
        return self._refuse(request) or web.json_response(entries)

    async def _file(self, request: web.Request) -> web.Response:
        if refusal := self._refuse(request):
            return refusal
        path = self.folder / request.match_info["path"]
        headers = {"ETag": f'"{_oid(path)}"', "X-Repo-Commit": SHA}
        return web.Response(body=path.read_bytes(), headers=headers)

    async def _plain(self, request: web.Request) -> web.Response:
        path = self.folder / request.match_info["path"]
        if request.query.get("signature") != "good":
            return web.Response(status=403)
        return web.Response(body=path.read_bytes()) if path.exists() else web.Response(status=404)


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture
async def hub(base: Path) -> AsyncGenerator[FakeHub]:
    made = FakeHub(base)
    runner = web.AppRunner(made.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _own_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))


def spec_of(root: Path, model: dict[str, Any], **storage: Any) -> TrainingSpec:
    plain = {
        "job_id": "j", "method": "lora", "model": model, "datasets": [{"source": "x"}],
        "output": {"output_uri": "x"},
        "storage": {
            "file_roots": [str(root.parent)], "allow_http": True, "allow_private_addresses": True,
        } | storage,
    }  # fmt: skip
    return msgspec.convert(plain, TrainingSpec)


async def fetch(
    folder: Path, model: dict[str, Any], secrets: TrainerSecrets | None = None, **storage: Any
) -> Path:
    spec = spec_of(folder, model, **storage)
    return await fetch_model(spec, secrets or TrainerSecrets(), folder / "work", open_store)


def same_weights(folder: Path, base: Path) -> bool:
    file = "model.safetensors"
    return (folder / file).read_bytes() == (base / file).read_bytes()


async def test_from_the_hub(hub: FakeHub, base: Path, tmp_path: Path) -> None:
    token = TrainerSecrets(hub_token=Secret("hub-token"))
    found = await fetch(tmp_path, {"name": "gated/model"}, token, hub_endpoint=hub.url)
    assert same_weights(found, base)
    assert hub.tokens == {"Bearer hub-token"}


async def test_what_another_job_fetched_is_not_given_away(hub: FakeHub, tmp_path: Path) -> None:
    token = TrainerSecrets(hub_token=Secret("hub-token"))
    await fetch(tmp_path, {"name": "gated/model"}, token, hub_endpoint=hub.url)
    with pytest.raises(TunegateError) as caught:
        await fetch(tmp_path, {"name": "gated/model"}, hub_endpoint=hub.url)
    assert caught.value.code == "model_access_denied"


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ({"name": "nobody/nothing"}, "model_not_found", "nobody/nothing"),
        ({"name": "some/model", "revision": "v9"}, "model_not_found", "v9"),
        ({"name": "gated/model"}, "model_access_denied", "gated/model"),
        ({"name": "not a hub id!"}, "model_not_found", "no hub id"),
    ],
)
async def test_what_the_hub_has_not(
    hub: FakeHub, tmp_path: Path, model: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(TunegateError, match=words) as caught:
        await fetch(tmp_path, model, hub_endpoint=hub.url)
    assert caught.value.code == code


async def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TunegateError) as caught:
        await fetch(tmp_path, {"name": "some/model"}, hub_endpoint="http://127.0.0.1:9")
    assert caught.value.code == "storage_unavailable"


async def test_from_a_path_and_only_below_the_roots(base: Path, tmp_path: Path) -> None:
    found = await fetch(tmp_path, {"name": f"file://{base}"}, file_roots=[str(base)])
    assert found == base
    with pytest.raises(TunegateError) as caught:
        await fetch(tmp_path, {"name": str(base)}, file_roots=[str(tmp_path)])
    assert caught.value.code == "model_access_denied"


async def test_from_a_folder_behind_http(hub: FakeHub, base: Path, tmp_path: Path) -> None:
    secrets = TrainerSecrets(weights_query=Secret("signature=good"))
    url = f"{hub.url}/plain/"
    assert same_weights(await fetch(tmp_path, {"name": "m", "weights_url": url}, secrets), base)
    with pytest.raises(TunegateError) as caught:
        await fetch(tmp_path, {"name": "m", "weights_url": url})
    assert caught.value.code == "model_access_denied"
    assert "signature" not in caught.value.detail


async def test_from_an_archive(base: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as bundle:
        for path in base.iterdir():
            bundle.write(path, f"inner/{path.name}")
    model = {"name": "m", "weights_url": f"file://{tmp_path}/model.zip"}
    assert same_weights(await fetch(tmp_path, model), base)


def folder_with(tmp_path: Path, base: Path, names: str, extra: str = "") -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    for name in names.split():
        (folder / name).write_bytes((base / name).read_bytes())
    for name in extra.split():
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("names", "extra", "words"),
    [
        ("model.safetensors tokenizer.json", "", "no config.json"),
        ("config.json tokenizer.json", "pytorch_model.bin", "pickled weights"),
        ("config.json tokenizer.json", "", "no weights"),
        ("config.json model.safetensors", "", "no tokenizer"),
        ("tokenizer.json", "model.nemo", "NeMo"),
        ("tokenizer.json", "adapter_config.json", "it is an adapter"),
    ],
)
async def test_folders_that_are_no_model(
    base: Path, tmp_path: Path, names: str, extra: str, words: str
) -> None:
    folder = folder_with(tmp_path, base, names, extra)
    with pytest.raises(TunegateError, match=words) as caught:
        await fetch(tmp_path, {"name": str(folder)}, file_roots=[str(tmp_path)])
    assert caught.value.code == "model_invalid"


async def test_an_index_can_not_lead_outside(hub: FakeHub, tmp_path: Path) -> None:
    from tunegate.trainer.weights import shards_of

    index = {"weight_map": {"a": "../../secret.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(TunegateError, match="no shards"):
        shards_of(tmp_path)
