"""What an API server answers when it does not do what was asked."""

import msgspec

from tunegate.sdk.launcher import EngineUnavailable

TROUBLE = frozenset({401, 408, 425, 429})
"""Answers below 500 that say nothing of the request: the token is being renewed, the server is busy."""


class Status(msgspec.Struct, frozen=True):
    """The `Status` object that comes with an error."""

    message: str = ""
    reason: str = ""


class ApiError(Exception):
    """The API server has understood and said no: 400, 403, 404, 409, 422."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def is_conflict(self) -> bool:
        return self.code == 409

    @property
    def is_quota(self) -> bool:
        """A quota is used up: that may pass."""
        return self.code == 403 and "exceeded quota" in self.message


def error_of(code: int, body: bytes) -> ApiError | EngineUnavailable:
    """The exception for an answer that is no success. Only 4xx that are about the request are ApiError."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError:
        status = Status()
    if code in TROUBLE or not 400 <= code < 500:
        words = status.message or "no explanation"
        return EngineUnavailable(f"The API server answered {code}: {words}")
    return ApiError(code, status.reason, status.message or f"HTTP {code}")
