"""The application: routes, the guard, one exception handler, and the door around them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
from litestar import Litestar

from tunegate.http.auth import Authenticator, hold_to_policy
from tunegate.http.door import Door
from tunegate.http.facade import Context
from tunegate.http.inventory import hold_inventory
from tunegate.http.openapi import build_document
from tunegate.http.pressure import Pressure
from tunegate.http.problems import answer_exception
from tunegate.http.routes import CONTROLLERS
from tunegate.http.short_way import ShortWay

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create_routes(lifespan: Lifespan | None = None) -> Litestar:
    """The routes alone: enough to describe them."""
    return Litestar(
        route_handlers=list(CONTROLLERS),
        guards=[hold_to_policy],
        exception_handlers={Exception: answer_exception},
        lifespan=[lifespan] if lifespan else [],
        openapi_config=None,
        logging_config=None,
    )


def create_app(
    context: Context,
    authenticator: Authenticator,
    lifespan: Lifespan | None = None,
) -> Litestar:
    """The ASGI application around a control plane. `lifespan` starts and stops what lives as long as it does."""
    app = create_routes(lifespan)
    hold_inventory(app)
    app.state.context = context
    app.state.authenticator = authenticator
    app.state.openapi = msgspec.json.encode(build_document(app, context.settings))
    settings = context.settings
    app.state.pressure = pressure = Pressure(
        settings.max_requests, settings.max_body_memory_bytes, settings.overload_unready_s
    )
    context.meters.watch(pressure)
    inner = ShortWay(app.asgi_handler, app)
    refusals = context.audit.refusals if context.audit is not None else None
    app.asgi_handler = Door(inner, settings, context.streams, context.meters, pressure, refusals)
    return app
