"""Every door of the house has a lock: a route that does not declare who may call it keeps the gateway from starting."""

from litestar import Litestar
from litestar.routes import HTTPRoute

from tunegate.http.operation import KEY, Operation


class UndeclaredRoute(Exception):
    """A route without a policy; the message names all of them."""


def hold_inventory(app: Litestar) -> None:
    """Raises UndeclaredRoute unless every method of every route says who may call it and what it changes."""
    faults = [fault for route in app.routes for fault in _faults(route)]
    if faults:
        raise UndeclaredRoute("; ".join(faults))


def _faults(route: object) -> list[str]:
    if not isinstance(route, HTTPRoute):
        return [f"{getattr(route, 'path', route)}: only HTTP routes can declare a policy"]
    faults: list[str] = []
    for handler in route.route_handlers:
        for method in handler.http_methods:
            if method == "OPTIONS":  # the framework's own; the guard refuses it
                continue
            name, operation = f"{method} {route.path}", handler.opt.get(KEY)
            if not isinstance(operation, Operation):
                faults.append(f"{name}: declares no Operation")
            elif bool(operation.changes) != (method != "GET"):
                faults.append(f"{name}: `changes` is for every method but GET")
    return faults
