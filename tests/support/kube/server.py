"""The API server: HTTP in front of `Objects`, and bad manners where a test asks for them."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from support.bad_manners import Trouble, answer_with, no_trouble
from support.kube.objects import Conflict, Object, Objects

_PATH = re.compile(
    r"(?P<path>/apis?/.*?namespaces/[^/]+/[^/]+)(/(?P<name>[^/]+))?(/(?P<sub>log|pendingworkloads))?"
)
Admit = Callable[[str, Object], str | None]
"""Says what is wrong with a new object, if anything."""


class KubeApi:
    """An async context manager; `kubeconfig` is the file that a client needs."""

    def __init__(self, folder: Path) -> None:
        self.objects = Objects()
        self.kubeconfig = folder / "kubeconfig"
        self.trouble: Trouble = no_trouble
        self.admit: Admit = lambda _path, _manifest: None
        self.log_of: Callable[[str], Path | None] = lambda _pod: None
        self.is_over: Callable[[str], bool] = lambda _pod: True
        self.lag_s: Callable[[], float] = lambda: 0.0
        """Asked before every notice of a watch."""
        self.calls: list[tuple[str, str]] = []
        self._server: TestServer | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        self.kubeconfig.write_text(_kubeconfig(str(self._server.make_url("")).rstrip("/")))
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        await self._server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        found = _PATH.fullmatch(request.path)
        if found is None:
            return _status(404, "NotFound", "the server could not find the requested resource")
        self.calls.append((request.method, request.path))
        await request.read()  # it has come, whether or not the client waits for the answer
        path, name, part = found["path"], found["name"], found["sub"]

        async def act() -> web.StreamResponse:
            if part == "log":
                return await self._log(request, name)
            if request.method == "GET" and "watch" in request.query:
                return await self._watch(request, path)
            return await self._do(request, path, name, part)

        return await answer_with(self.trouble, request, act, _refusal)

    async def _do(
        self, request: web.Request, path: str, name: str | None, sub: str | None
    ) -> web.Response:
        body: Object = json.loads(await request.read() or b"{}")
        objects = self.objects
        if request.method == "GET" and name is None:
            chosen = [one for one in objects.of(path) if _chosen(one, request)]
            meta = {"resourceVersion": str(objects.version)}
            return web.json_response({"kind": "List", "metadata": meta, "items": chosen})
        if request.method == "POST":
            wrong = self.admit(path, body)
            if wrong is not None:
                return _status(422, "Invalid", wrong)
            try:
                return web.json_response(objects.create(path, body), status=201)
            except Conflict:
                return _status(409, "AlreadyExists", "it exists already")
        key = (path, name or "")
        if key not in objects.all:
            return _status(404, "NotFound", f"{name} not found")
        if found_below := objects.all[key].get(sub or ""):
            return web.json_response(found_below)
        if request.method == "PATCH":
            return web.json_response(objects.update(path, key[1], body))
        if request.method == "DELETE":
            foreground = body.get("propagationPolicy") == "Foreground"
            objects.delete(key, foreground=foreground, grace_s=body.get("gracePeriodSeconds"))
            return web.json_response({"kind": "Status", "status": "Success"})
        return web.json_response(objects.all[key])

    async def _watch(self, request: web.Request, path: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        seen = int(request.query["resourceVersion"])
        objects = self.objects
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", "60"))):
                while True:
                    changed = objects.changed
                    for version, where, kind, one in objects.history[seen:]:
                        seen = version
                        if where == path and _chosen(one, request):
                            line = json.dumps({"type": kind, "object": one}).encode()
                            await asyncio.sleep(self.lag_s())
                            await response.write(line + b"\n")
                    await changed.wait()
        except TimeoutError:
            pass
        await response.write_eof()
        return response

    async def _log(self, request: web.Request, pod: str) -> web.StreamResponse:
        file = self.log_of(pod)
        if file is None:
            return _status(400, "BadRequest", f"container of {pod} is waiting to start")
        response = web.StreamResponse()
        await response.prepare(request)
        offset = 0
        while True:
            over = self.is_over(pod)
            said = file.read_bytes()[offset:]
            offset += len(said)
            if said:
                await response.write(said)
            if over or "follow" not in request.query:
                break
            await asyncio.sleep(0.02)
        await response.write_eof()
        return response


def _chosen(one: Object, request: web.Request) -> bool:
    """Equality alone, which is all that is asked for."""
    labels: dict[str, Any] = one["metadata"].get("labels", {})
    if not _pairs(request, "labelSelector").items() <= labels.items():
        return False
    return all(_field(one, path) == text for path, text in _pairs(request, "fieldSelector").items())


def _pairs(request: web.Request, selector: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in request.query.get(selector, "").split(",") if pair)


def _field(one: Any, path: str) -> Any:
    for part in path.split("."):
        one = one[part]
    return one


def _refusal(status: int | None) -> web.Response:
    if status is None:
        return _status(504, "Timeout", "the server did not answer in time")
    return _status(status, "InternalError", "etcdserver: request timed out")


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason}
    return web.json_response({**body, "message": message}, status=code)


def _kubeconfig(url: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": url}}],
            "users": [{"name": "fake", "user": {"token": "api-token"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }
    )
