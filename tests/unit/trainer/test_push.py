"""The result on a hub of our own: created, committed, and what goes wrong told without the token."""

import base64
import hashlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from aiohttp import web

from tunegate.contract.secret import Secret
from tunegate.contract.training import HubPlan
from tunegate.trainer.push import PushFailed, push_to_hub

TOKEN = Secret("hf_canary")
FILES = {"README.md": b"# hello", "adapter_config.json": b"{}", "merged/config.json": b"{}"}


class FakeHub:
    """The endpoints that a commit of small files asks for."""

    def __init__(self) -> None:
        self.url = ""
        self.created: list[dict[str, object]] = []
        self.files: dict[str, bytes] = {}
        self.status = 200

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_post("/api/repos/create", self._create)
        app.router.add_post("/api/models/{owner}/{name}/preupload/{revision}", self._preupload)
        app.router.add_post("/api/models/{owner}/{name}/commit/{revision}", self._commit)
        app.router.add_get("/api/models/{owner}/{name}/{tail:.*}", self._info)
        app.router.add_get("/api/models/{owner}/{name}", self._info)
        app.router.add_post("/api/validate-yaml", self._validate)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: object) -> web.StreamResponse:
        if request.headers.get("authorization") != f"Bearer {TOKEN.reveal()}":
            return web.json_response({}, status=401)
        if self.status != 200:
            return web.json_response({}, status=self.status)
        return await handler(request)  # type: ignore[operator]

    async def _create(self, request: web.Request) -> web.Response:
        self.created.append(await request.json())
        return web.json_response({"url": f"{self.url}/team/model"})

    async def _preupload(self, request: web.Request) -> web.Response:
        asked = (await request.json())["files"]
        files = [
            {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
            for file in asked
        ]
        return web.json_response({"files": files})

    async def _commit(self, request: web.Request) -> web.Response:
        for line in (await request.text()).splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        oid = hashlib.sha1(b"commit").hexdigest()
        answer = {"success": True, "commitUrl": f"{self.url}/team/model/commit/{oid}", "commitOid": oid}  # fmt: skip
        return web.json_response(answer)

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response({"id": "team/model", "sha": "a" * 40, "siblings": []})

    async def _validate(self, request: web.Request) -> web.Response:
        return web.json_response({"errors": [], "warnings": []})


@pytest.fixture
async def hub() -> AsyncGenerator[FakeHub]:
    made = FakeHub()
    runner = web.AppRunner(made.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def result(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


async def push(hub: FakeHub, result: Path, token: Secret | None = TOKEN) -> str:
    import asyncio

    plan = HubPlan(repo_id="team/model")
    return await asyncio.to_thread(push_to_hub, result, plan, hub.url, token, "job")


async def test_all_files_are_committed(hub: FakeHub, result: Path) -> None:
    assert await push(hub, result) == f"{hub.url}/team/model"
    assert hub.files == FILES
    [asked] = hub.created
    assert (asked["name"], asked["organization"]) == ("model", "team")
    assert asked.get("private") is True or asked.get("visibility") == "private"


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        (None, 200, "no token"),
        (Secret("hf_other"), 200, "may not write to team/model"),
        (TOKEN, 403, "may not write to team/model"),
        (TOKEN, 418, "status 418"),
    ],
)
async def test_a_push_that_fails_says_why(
    hub: FakeHub, result: Path, token: Secret | None, status: int, words: str
) -> None:
    hub.status = status
    with pytest.raises(PushFailed, match=words) as caught:
        await push(hub, result, token)
    assert "hf_" not in str(caught.value)


async def test_a_hub_that_is_not_there(result: Path) -> None:
    hub = FakeHub()
    hub.url = "http://127.0.0.1:9"
    with pytest.raises(PushFailed, match="could not be reached"):
        await push(hub, result)
