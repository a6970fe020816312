"""A route that does not say who may call it keeps the gateway from starting, and is closed besides."""

from typing import Any

import pytest
from litestar import WebSocket, asgi, delete, get, websocket
from litestar.testing import AsyncTestClient

from support.door import WRITER, FakeJobs
from tunegate.http import app as app_module
from tunegate.http.app import create_routes
from tunegate.http.inventory import UndeclaredRoute, hold_inventory
from tunegate.http.operation import Access, Answer, Operation

from .conftest import AppFactory


@get("/forgotten")
async def forgotten() -> str:
    return "secret"


@delete(
    "/silent", opt=Operation(summary="s", access=Access.WRITE, answers={204: Answer("a")}).opt()
)
async def silent() -> None: ...


@get("/odd", opt=Operation(summary="s", access=Access.READ, changes="x", answers={}).opt())
async def odd() -> str:
    return ""


@websocket("/socket")
async def listens(socket: WebSocket[Any, Any, Any]) -> None: ...


@asgi("/mounted", copy_scope=True)
async def mounted(scope: Any, receive: Any, send: Any) -> None: ...


def test_our_routes_declare_themselves() -> None:
    hold_inventory(create_routes())


@pytest.mark.parametrize("handler", [forgotten, silent, odd, listens, mounted])
def test_a_route_without_a_policy_is_found(handler: Any) -> None:
    app = create_routes()
    app.register(handler)
    with pytest.raises(UndeclaredRoute, match=next(iter(handler.paths))):
        hold_inventory(app)


def test_the_gateway_does_not_start_with_one(
    make_app: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "CONTROLLERS", (*app_module.CONTROLLERS, forgotten))
    with pytest.raises(UndeclaredRoute, match="GET /forgotten"):
        make_app()


async def test_one_that_slips_in_later_is_closed(make_app: AppFactory, jobs: FakeJobs) -> None:
    app = make_app()
    app.register(forgotten)
    async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
        answer = await client.get("/forgotten", headers=WRITER)
    assert answer.status_code == 405
    assert "secret" not in answer.text
