"""Who calls: tokens compared in constant time, and the guard that holds every route to its policy."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from tunegate.contract.secret import Secret
from tunegate.control.caller import ANONYMOUS, TRAINER, act_for
from tunegate.control.principal import Principal
from tunegate.http.operation import KEY, Access, Operation
from tunegate.sdk.errors import TunegateError

AnyConnection = ASGIConnection[Any, Any, Any, Any]
DEFAULT_TENANT = "default"
"""The tenant of a gateway without tokens, and of the token in TRAINER_API_TOKEN: adding that token keeps the jobs."""

_CHARSETS = frozenset({"charset=utf-8", 'charset="utf-8"'})


Resolve = Callable[[str], Awaitable[Principal | None]]
"""Finds the holder of a presented token; None for a token of another kind. Raises `unauthorized` for a bad one."""


class Authenticator:
    """The tokens of this gateway: the configured ones, then what each of `resolvers` knows.

    Where the house is open (no token configured or required; it listens on loopback only), whoever shows none is the
    default tenant and an admin.
    """

    def __init__(
        self,
        tokens: Sequence[tuple[Secret, Principal]],
        resolvers: Sequence[Resolve] = (),
        *,
        required: bool = False,
        metrics_open: bool,
    ) -> None:
        self._tokens = [(_digest(token.reveal()), principal) for token, principal in tokens]
        self._resolvers = resolvers
        self.is_open = not tokens and not required
        """Whether whoever shows no token is let in."""
        self.metrics_open = metrics_open or self.is_open

    async def principal(self, headers: Mapping[str, str]) -> Principal:
        """The holder of the presented token. Raises `unauthorized`."""
        presented = bearer(headers) or headers.get("x-trainer-token", "")
        digest = _digest(presented)
        found: Principal | None = None
        for known, principal in self._tokens:  # all of them, so that the time says nothing
            if hmac.compare_digest(known, digest):
                found = principal
        for resolve in () if found is not None else self._resolvers:
            found = await resolve(presented)
            if found is not None:
                break
        if found is None and not self.is_open:
            raise TunegateError("unauthorized")
        return found or Principal(name=DEFAULT_TENANT, admin=True)


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
    if operation.access in (Access.READ, Access.WRITE, Access.ADMIN):
        principal = await authenticator.principal(connection.headers)
        connection.scope["state"]["principal"] = principal
        act_for(principal.token or ANONYMOUS, connection.scope["state"].get("request_id", ""))
        if operation.access is Access.WRITE and principal.read_only:
            raise TunegateError("forbidden", "This token may read only.")
        if operation.access is Access.ADMIN and not principal.admin:
            raise TunegateError("forbidden", "This asks for an admin's token.")
    elif operation.access is Access.METRICS and not authenticator.metrics_open:
        await authenticator.principal(connection.headers)
    elif operation.access is Access.ATTEMPT:
        if not bearer(connection.headers):
            raise TunegateError("unauthorized")
        act_for(TRAINER, connection.scope["state"].get("request_id", ""))
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
