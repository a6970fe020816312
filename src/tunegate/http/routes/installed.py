"""What is installed."""

from litestar import Controller, Response, get

from tunegate.contract.job import InstalledList
from tunegate.http.answers import json_answer
from tunegate.http.facade import AnyRequest, jobs_of
from tunegate.http.operation import Access, Answer, Operation


class BackendController(Controller):
    """`/backends`."""

    path = "/backends"
    tags = ("plugins",)

    @get(
        opt=Operation(
            summary="List the backends: what can run",
            access=Access.READ,
            answers={200: Answer("Those that could not be loaded are listed with the reason.", InstalledList)},
        ).opt()
    )  # fmt: skip
    async def list_backends(self, request: AnyRequest) -> Response[bytes]:
        return json_answer(jobs_of(request).backends())


class LauncherController(Controller):
    """`/launchers`."""

    path = "/launchers"
    tags = ("plugins",)

    @get(
        opt=Operation(
            summary="List the launchers: where jobs can run",
            access=Access.READ,
            answers={200: Answer("Those that could not be loaded are listed with the reason.", InstalledList)},
        ).opt()
    )  # fmt: skip
    async def list_launchers(self, request: AnyRequest) -> Response[bytes]:
        return json_answer(jobs_of(request).launchers())
