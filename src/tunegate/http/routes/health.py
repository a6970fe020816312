"""For those who look after the gateway."""

from typing import cast

from litestar import Controller, Response, get

from tunegate.http.facade import AnyRequest, context_of, jobs_of
from tunegate.http.meters import CONTENT_TYPE
from tunegate.http.operation import Access, Answer, Operation
from tunegate.http.pressure import Pressure
from tunegate.sdk.errors import TunegateError

_OK = b'{"status":"ok"}'


class HealthController(Controller):
    """`/healthz`, `/readyz`, `/metrics`."""

    tags = ("operation",)

    @get(
        "/healthz",
        opt=Operation(
            summary="Whether the process lives",
            access=Access.OPEN,
            answers={200: Answer("It does.")},
        ).opt(),
    )
    async def healthz(self) -> Response[bytes]:
        return Response(_OK, media_type="application/json")

    @get(
        "/readyz",
        opt=Operation(
            summary="Whether jobs can be taken: the store is reachable and the loops are alive",
            access=Access.OPEN,
            answers={200: Answer("They can.")},
        ).opt(),
    )
    async def readyz(self, request: AnyRequest) -> Response[bytes]:
        await jobs_of(request).ready()
        pressure = cast("Pressure", request.app.state.pressure)
        if trouble := pressure.trouble():
            raise TunegateError("unavailable", trouble)
        return Response(_OK, media_type="application/json")

    @get(
        "/metrics",
        opt=Operation(
            summary="Gauges and counters for Prometheus",
            access=Access.METRICS,
            answers={200: Answer("The text format.", None, ("text/plain",))},
        ).opt(),
    )
    async def scrape(self, request: AnyRequest) -> Response[bytes]:
        return Response(await context_of(request).meters.scrape(), media_type=CONTENT_TYPE)
