"""Who calls: tokens compared in constant time, and the guard that holds every route to its policy."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from tunegate.contract.secret import Secret
from tunegate.control.principal import Principal
from tunegate.http.operation import KEY, Access, Operation
from tunegate.sdk.errors import TunegateError

AnyConnection = ASGIConnection[Any, Any, Any, Any]
DEFAULT_TENANT = "default"
"""The tenant of a gateway without tokens, and of the token in TRAINER_API_TOKEN: adding that token keeps the jobs."""

_CHARSETS = frozenset({"charset=utf-8", 'charset="utf-8"'})


class Authenticator:
    """The tokens of this gateway. With none, everybody is the default tenant (and the gateway listens on loopback only)."""

    def __init__(self, tokens: Sequence[tuple[Secret, Principal]], *, metrics_open: bool) -> None:
        self._tokens = [(_digest(token.reveal()), principal) for token, principal in tokens]
        self.metrics_open = metrics_open or not tokens

    def principal(self, headers: Mapping[str, str]) -> Principal:
        """The holder of the presented token. Raises `unauthorized`."""
        if not self._tokens:
            return Principal(name=DEFAULT_TENANT)
        presented = _digest(bearer(headers) or headers.get("x-trainer-token", ""))
        found: Principal | None = None
        for digest, principal in self._tokens:  # all of them, so that the time says nothing
            if hmac.compare_digest(digest, presented):
                found = principal
        if found is None:
            raise TunegateError("unauthorized")
        return found


def bearer(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer TOKEN`, or an empty string."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


async def hold_to_policy(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """The one guard of the application: token, scope and media type, as the route's Operation says."""
    operation: Operation | None = handler.opt.get(KEY)
    if (
        operation is None
    ):  # a route that declares nothing is closed; so is the OPTIONS that the framework adds
        raise TunegateError("method_not_allowed")
    authenticator = cast("Authenticator", connection.app.state.authenticator)
    if operation.access in (Access.READ, Access.WRITE):
        connection.scope["state"]["principal"] = principal = authenticator.principal(
            connection.headers
        )
        if operation.access is Access.WRITE and principal.read_only:
            raise TunegateError("forbidden", "This token may read only.")
    elif operation.access is Access.METRICS and not authenticator.metrics_open:
        authenticator.principal(connection.headers)
    elif operation.access is Access.ATTEMPT and not bearer(connection.headers):
        raise TunegateError("unauthorized")
    required = operation.body is not None and not operation.body_optional
    check_media_type(connection.headers, required=required)


def check_media_type(headers: Mapping[str, str], *, required: bool) -> None:
    """Only JSON comes in. Where nothing comes in its type says nothing: clients send one with an empty body too."""
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if not required and not has_body:
        return
    content_type = headers.get("content-type", "")
    name, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if name != "application/json" or not all(p in _CHARSETS for p in parameters):
        raise TunegateError("unsupported_media_type")
