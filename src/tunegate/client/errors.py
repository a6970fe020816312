"""What can go wrong between a client and a gateway, as exceptions that say what to do."""

import msgspec

from tunegate.contract.problems import Problem, ProblemDetails, listed

_decode_problem = msgspec.json.Decoder(ProblemDetails).decode


class ClientError(Exception):
    """All that this package raises of its own."""


class ProfileUnusable(ClientError):
    """The file with the address and the token can't be used."""


class GatewayUnreachable(ClientError):
    """No answer came, and asking again did not help."""


class ApiError(ClientError):
    """The gateway refused. `code` is stable, `errors` names the fields at fault, `advice` says what to do."""

    def __init__(self, status: int, problem: ProblemDetails, retry_after_s: float | None) -> None:
        self.status = status
        self.code = problem.code
        self.detail = problem.detail
        self.advice = problem.advice
        self.errors: list[Problem] = problem.errors
        self.request_id = problem.request_id
        self.retry_after_s = retry_after_s
        super().__init__(f"{problem.code}: {problem.detail}")

    def __str__(self) -> str:
        lines = [f"  {line}" for line in listed(self.detail, self.errors)]
        return "\n".join([super().__str__(), *lines, *([self.advice] if self.advice else [])])


class InvalidRequest(ApiError):
    """400, 413, 415, 422: the request must be mended."""


class Unauthorized(ApiError):
    """401: no token, or one that is not known."""


class Forbidden(ApiError):
    """403: the token may not do this."""


class NotFound(ApiError):
    """404: no such job, token, backend or route."""


class Conflict(ApiError):
    """409: the job's state, or another job, is in the way."""


class TooMany(ApiError):
    """429, after all retries."""


class GatewayTrouble(ApiError):
    """5xx, after all retries."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: InvalidRequest,
    409: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: TooMany,
}


def error_of(status: int, body: bytes, retry_after_s: float | None) -> ApiError:
    """The exception for an answer. One that is no problem document comes from something between: a proxy, a wrong address."""
    try:
        problem = _decode_problem(body)
    except msgspec.DecodeError:
        problem = ProblemDetails(
            type="about:blank",
            title=f"HTTP {status}",
            status=status,
            code=f"http_{status}",
            detail="the answer is not a gateway's",
            advice="Check the gateway's address, and what stands between.",
        )
    kind = _BY_STATUS.get(status, GatewayTrouble if status >= 500 else ApiError)
    return kind(status, problem, retry_after_s)
