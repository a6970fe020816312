"""Everything that goes wrong, as RFC 9457 problem details. Nothing of the request is echoed, no traceback leaves."""

import math
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from tunegate.contract.guard import RequestError
from tunegate.contract.problems import ProblemDetails
from tunegate.sdk.errors import TunegateError
from tunegate.telemetry import get_logger, place_of

MEDIA_TYPE = "application/problem+json"
_DEFAULT_RETRY_S = 5.0
_BY_STATUS = {
    400: "invalid_parameter",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}

log = get_logger(__name__)


def as_error(error: Exception) -> TunegateError:
    """The entry of the catalogue that stands for any exception."""
    if isinstance(error, TunegateError):
        return error
    if isinstance(error, RequestError):
        return TunegateError(error.code, error.detail, problems=error.problems)
    if isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        return TunegateError(_BY_STATUS[error.status_code])
    return TunegateError("internal_error")


def encode_problem(error: TunegateError, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    status = error.spec.http_status or 500
    details = ProblemDetails(
        type=f"/schema/errors#{error.code}",
        title=error.spec.title,
        status=status,
        code=error.code,
        detail=error.detail,
        errors=list(error.problems),
        advice=error.spec.advice,
        request_id=request_id,
    )
    headers = {"content-type": MEDIA_TYPE}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.code == "bad_http":  # what follows may have been meant for somebody else
        headers["connection"] = "close"
    if status == 409:
        headers["x-should-retry"] = "false"
    if status in (429, 503) or error.retry_after_s is not None:
        wait_s = _DEFAULT_RETRY_S if error.retry_after_s is None else error.retry_after_s
        headers["retry-after"] = str(math.ceil(wait_s))
    return status, headers, msgspec.json.encode(details)


def answer_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler of the whole application."""
    known = as_error(error)
    if known.code == "internal_error":
        log.error("request_failed", request_id=request_id_of(request), **place_of(error))
    status, headers, body = encode_problem(known, request_id_of(request))
    if isinstance(error, HTTPException) and error.headers and "allow" in error.headers:
        headers["allow"] = error.headers["allow"]
    return Response(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def request_id_of(request: Request[Any, Any, Any]) -> str:
    return request.scope["state"].get("request_id", "")
