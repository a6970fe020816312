"""`POST /train` past the framework's routing: the same guard, handler and error answers with fewer steps in between.

It is the path of every job; the framework's own share of it would be as large as that of storing the job.
"""

from typing import Any, cast

from litestar import Litestar, Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from tunegate.http.auth import hold_to_policy
from tunegate.http.problems import answer_exception
from tunegate.http.routes.train import SUBMIT_PATH, submit


class ShortWay:
    """An ASGI layer in front of the router. Takes submissions; all else goes on to `app`."""

    def __init__(self, app: ASGIApp, routes: Litestar) -> None:
        self._app = app
        self._routes = routes
        self._handler = _handler_of(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != SUBMIT_PATH:
            await self._app(scope, receive, send)
            return
        scope["path_template"] = SUBMIT_PATH
        scope["litestar_app"] = self._routes
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        try:
            await hold_to_policy(request, self._handler)
            answer = await submit(request, None)
        except Exception as error:  # noqa: BLE001  as the framework does with its exception handler
            answer = answer_exception(request, error)
        await _send(answer, send)


def _handler_of(routes: Litestar) -> HTTPRouteHandler:
    """The framework's handler, which declares the policy."""
    handlers = (
        handler
        for route in routes.routes
        if route.path == SUBMIT_PATH
        for handler in cast("list[Any]", getattr(route, "route_handlers", []))
    )
    return next(handler for handler in handlers if "POST" in handler.http_methods)


async def _send(answer: Response[bytes], send: Send) -> None:
    body = answer.content
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    headers.append((b"content-length", str(len(body)).encode()))
    if "content-type" not in answer.headers:
        headers.append((b"content-type", str(answer.media_type).encode()))
    status = answer.status_code or 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
