"""The page for people. It holds nothing of anybody's; all it shows it asks the API for, with the reader's own token."""

from typing import cast

from litestar import Controller, Response, get
from litestar.params import FromPath

from tunegate.http.auth import Authenticator
from tunegate.http.dashboard import Asset, read_dashboard
from tunegate.http.facade import AnyRequest, context_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.sdk.errors import TunegateError

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_DENIED = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer",
    "microphone", "midi", "payment", "publickey-credentials-get", "screen-wake-lock", "serial", "usb",
    "xr-spatial-tracking",
)  # fmt: skip
_HEADERS = {
    "content-security-policy": _CSP,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": ", ".join(f"{name}=()" for name in _DENIED),
    "x-frame-options": "DENY",
}
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


def _operation(summary: str, media: tuple[str, ...], *errors: str) -> Operation:
    return Operation(
        summary=summary,
        description="No token is asked for. Not there where server.dashboard is off.",
        access=Access.OPEN,
        answers={
            200: Answer(summary + ".", None, media),
            304: Answer("Unchanged since `If-None-Match`."),
        },
        errors=errors,
    )


class DashboardController(Controller):
    """`/ui`."""

    path = "/ui"
    tags = ("dashboard",)

    @get(opt=_operation("A page to watch and steer jobs", ("text/html",), "not_found").opt())
    async def read_dashboard(self, request: AnyRequest) -> Response[bytes]:
        _hold_to_setting(request)
        if request.scope["raw_path"].endswith(b"/"):  # what the page names is found beside /ui
            return Response(b"", status_code=308, headers=_HEADERS | {"location": "../ui"})
        authenticator = cast("Authenticator", request.app.state.authenticator)
        page = read_dashboard().page(is_open=authenticator.is_open)
        return _answer(request, page, _ASK_AGAIN)

    @get(
        "/{release:str}/{name:str}",
        opt=_operation("A file of that page", ("text/javascript", "text/css", "image/svg+xml")).opt(),
    )  # fmt: skip
    async def read_dashboard_file(
        self, request: AnyRequest, release: FromPath[str], name: FromPath[str]
    ) -> Response[bytes]:
        """A page of another release, still open while replicas are replaced, is given ours and keeps it not."""
        _hold_to_setting(request)
        dashboard = read_dashboard()
        asset = dashboard.assets.get(name)
        if asset is None:
            raise TunegateError("not_found")
        return _answer(request, asset, _FOREVER if release == dashboard.release else _ASK_AGAIN)


def _hold_to_setting(request: AnyRequest) -> None:
    if not context_of(request).settings.dashboard:
        raise TunegateError("not_found", "The dashboard is switched off here.")


def _answer(request: AnyRequest, asset: Asset, caching: str) -> Response[bytes]:
    headers = _HEADERS | {"cache-control": caching, "etag": asset.etag}
    known = request.headers.get("if-none-match", "")
    if asset.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(b"", status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
