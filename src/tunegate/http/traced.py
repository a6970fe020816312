"""A span for every request, below the client's own where it sent a `traceparent`. Only there when traces are on."""

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from tunegate.telemetry import bound
from tunegate.tracing import Tracing

_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class Traced:
    """An ASGI layer around the door. Attributes are the route's template, the method and the status: nothing else."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        given = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        method = scope["method"]
        with self._tracing.span(
            method, parent=given, facts={"http.request.method": method}, server=True
        ) as span:

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            trace_id = format(span.get_span_context().trace_id, "032x")
            with bound(trace_id=trace_id):  # on every log line of the request
                await self._app(scope, receive, answer)
            route = str(scope.get("path_template") or "none")
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
