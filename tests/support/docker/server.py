"""The engine: containers by name, as dockerd and podman have them, and bad manners where a test asks for them."""

import asyncio
import io
import json
import re
import tarfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from support.bad_manners import Trouble, answer_with, no_trouble

_PATH = re.compile(r"/v\d\.\d+/(?P<kind>containers|images)/(?P<rest>.*)")


@dataclass
class Container:
    """`files` by path below the room's volume; `said` gives its whole log."""

    name: str
    request: dict[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex * 2)
    state: str = "created"
    exit_code: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    said: Callable[[], bytes] = bytes
    starts: int = 0

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    def described(self) -> dict[str, Any]:
        state = {"Status": self.state, "ExitCode": self.exit_code, "OOMKilled": False, "Error": ""}
        return {"Id": self.id, "State": state, "Config": {"Labels": self.request["Labels"]}}

    def listed(self) -> dict[str, Any]:
        return {"Id": self.id, "Names": [f"/{self.name}"], "State": self.state, "Labels": self.request["Labels"]}  # fmt: skip


class Runner(ABC):
    """Makes containers live: sets `state` and `exit_code` when one ends, and says where its log is."""

    @abstractmethod
    async def start(self, container: Container) -> None: ...

    @abstractmethod
    def signal(self, container: Container, name: str) -> None: ...

    async def close(self) -> None: ...


class DockerApi:
    """An async context manager; listens at `socket`."""

    def __init__(self, socket: Path, runner: Runner) -> None:
        self.socket = socket
        self.images = {"python:3"}
        self.all: dict[str, Container] = {}
        self.trouble: Trouble = no_trouble
        self.listed: Callable[[], list[dict[str, Any]]] = self.now_listed
        self._starting: dict[str, asyncio.Lock] = {}
        self._runner = runner
        self._site: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/version", self._version)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._site = web.AppRunner(app, shutdown_timeout=0.1)
        await self._site.setup()
        await web.UnixSite(self._site, str(self.socket)).start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._site is not None
        await self._site.cleanup()
        await self._runner.close()

    def now_listed(self) -> list[dict[str, Any]]:
        return [one.listed() for one in self.all.values()]

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.44"})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        found = _PATH.fullmatch(request.path)
        if found is None:
            return _said(404, "page not found")
        await request.read()
        if not request.path.endswith("/start"):
            return await self._struck(request, found["kind"], found["rest"])
        return await self._start(request, found["rest"].removesuffix("/start"))

    async def _start(self, request: web.Request, name: str) -> web.StreamResponse:
        """An engine holds a container while it starts it: who comes meanwhile finds it running."""
        asked = self.all.get(name) or self._by_id(name)
        was_over = asked is not None and asked.state == "exited"
        async with self._starting.setdefault(name, asyncio.Lock()):
            if asked is not None and asked.starts and not was_over:
                return web.Response(status=304)
            return await self._struck(request, "containers", f"{name}/start")

    async def _struck(self, request: web.Request, kind: str, rest: str) -> web.StreamResponse:
        async def act() -> web.StreamResponse:
            if kind == "images":
                return self._image(request, rest)
            return await self._container(request, rest)

        return await answer_with(self.trouble, request, act, _refusal)

    def _image(self, request: web.Request, rest: str) -> web.Response:
        if request.method == "GET":
            image = rest.removesuffix("/json")
            return _said(200, "") if image in self.images else _said(404, f"No such image: {image}")
        name = f"{request.query['fromImage']}:{request.query['tag']}"
        if "missing" in name:
            return web.Response(text=json.dumps({"error": f"manifest for {name} not found"}))
        self.images.add(name)
        return web.Response(text=json.dumps({"status": "Download complete"}))

    async def _container(self, request: web.Request, rest: str) -> web.StreamResponse:
        if rest == "json":
            wanted = json.loads(request.query["filters"])["label"]
            return web.json_response([one for one in self.listed() if _has(one["Labels"], wanted)])
        if rest == "create":
            return await self._create(request)
        name, _, verb = rest.partition("/")
        container = self.all.get(name) or self._by_id(name)
        if container is None:
            return _said(404, f"No such container: {name}")
        if request.method == "DELETE":
            return self._remove(container)
        if verb == "logs":
            return await self._logs(request, container)
        if verb == "json":
            return web.json_response(container.described())
        return await self._change(request, container, verb)

    def _by_id(self, id_: str) -> Container | None:
        return next((one for one in self.all.values() if one.id == id_), None)

    async def _create(self, request: web.Request) -> web.Response:
        name, asked = request.query["name"], await request.json()
        if name in self.all:
            return _said(409, f"Conflict. The container name {name} is already in use")
        if asked["Image"] not in self.images:
            return _said(404, f"No such image: {asked['Image']}")
        self.all[name] = Container(name, asked)
        return web.json_response({"Id": self.all[name].id}, status=201)

    async def _change(self, request: web.Request, container: Container, verb: str) -> web.Response:
        if verb == "archive":
            with tarfile.open(fileobj=io.BytesIO(await request.read())) as tar:
                for entry in tar:
                    content = tar.extractfile(entry)
                    if content is not None:
                        container.files[entry.name] = content.read()
            return web.Response()
        if verb == "start":
            if container.is_running:
                return web.Response(status=304)
            if container.request["Entrypoint"] == ["nope"]:
                return _said(400, "exec: nope: executable file not found in $PATH")
            container.state, container.starts = "running", container.starts + 1
            await self._runner.start(container)
            return web.Response(status=204)
        if not container.is_running:
            return _said(409, f"container {container.name} is not running")
        self._runner.signal(container, request.query["signal"])
        return web.Response(status=204)

    def _remove(self, container: Container) -> web.Response:
        if container.is_running:
            self._runner.signal(container, "SIGKILL")
        self.all.pop(container.name, None)
        return web.Response(status=204)

    async def _logs(self, request: web.Request, container: Container) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        offset = 0
        while True:
            over = not container.is_running
            said = container.said()[offset:]
            offset += len(said)
            if said:
                await response.write(b"\x01\0\0\0" + len(said).to_bytes(4, "big") + said)
            if over or request.query["follow"] == "0":
                break
            await asyncio.sleep(0.02)
        await response.write_eof()
        return response


def _has(labels: dict[str, str], wanted: list[str]) -> bool:
    return all(labels.get(key) == text for key, _, text in (one.partition("=") for one in wanted))


def _refusal(status: int | None) -> web.Response:
    return _said(status or 500, "the engine has trouble of its own")


def _said(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
