"""The documentation that comes with the gateway: OpenAPI, a page to try it, the catalogue of errors. All offline."""

from importlib.resources import files

from litestar import Controller, Response, get

from tunegate.http.facade import AnyRequest
from tunegate.http.openapi import errors_page
from tunegate.http.operation import Access, Answer, Operation

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"content-security-policy": _CSP, "x-frame-options": "DENY"}


def _open(summary: str, media: str) -> Operation:
    return Operation(
        summary=summary, access=Access.OPEN, answers={200: Answer(summary + ".", None, (media,))}
    )


class SchemaController(Controller):
    """`/schema`."""

    path = "/schema"
    tags = ("documentation",)

    @get(opt=_open("A page to read and try the API", "text/html").opt())
    async def read_page(self) -> Response[bytes]:
        return _file("index.html", "text/html")

    @get("/app.js", opt=_open("The page's script", "text/javascript").opt())
    async def read_script(self) -> Response[bytes]:
        return _file("app.js", "text/javascript")

    @get("/style.css", opt=_open("The page's style", "text/css").opt())
    async def read_style(self) -> Response[bytes]:
        return _file("style.css", "text/css")

    @get("/errors", opt=_open("The catalogue of errors", "text/html").opt())
    async def list_errors(self) -> Response[bytes]:
        return Response(errors_page().encode(), media_type="text/html", headers=_HEADERS)

    @get("/openapi.json", opt=_open("This API as OpenAPI 3.1", "application/json").opt())
    async def read_openapi(self, request: AnyRequest) -> Response[bytes]:
        return Response(request.app.state.openapi, media_type="application/json")


def _file(name: str, media_type: str) -> Response[bytes]:
    content = files("tunegate.http").joinpath("pages", name).read_bytes()
    return Response(content, media_type=media_type, headers=_HEADERS)
