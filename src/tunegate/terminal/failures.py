"""Exceptions as words on standard error and an exit code. Other exceptions are mistakes of ours and keep their traceback."""

import sys
from typing import Any

import msgspec

from tunegate.terminal.exits import ExitCode


class Failure(Exception):
    """A command's own way to end: sentences for people, and the code."""

    def __init__(self, words: str | list[str], code: ExitCode = ExitCode.FAILED) -> None:
        self.lines = [words] if isinstance(words, str) else words
        self.code = code
        super().__init__("; ".join(self.lines))


def report(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong and return the exit code. Raises what it does not know."""
    known = describe(error)
    if known is None:
        raise error
    code, told, lines = known
    if as_json:
        sys.stderr.write(
            msgspec.json.encode({"error": told, "exit_code": int(code)}).decode() + "\n"
        )
    else:
        sys.stderr.write("".join(f"tunegate: {line}\n" if not line.startswith(" ") else f"{line}\n" for line in lines))  # fmt: skip
    return int(code)


def describe(error: Exception) -> tuple[ExitCode, dict[str, Any], list[str]] | None:
    """Exit code, JSON and lines for an error that may happen; None for one that may not."""
    if isinstance(error, Failure):
        return error.code, {"detail": str(error)}, error.lines
    if isinstance(error, TimeoutError):
        return ExitCode.UNAVAILABLE, {"detail": str(error)}, [str(error)]
    if "tunegate.client" in sys.modules and (told := _of_client(error)) is not None:
        return told
    if "tunegate.sdk.errors" in sys.modules:
        return _of_catalogue(error)
    return None


def _of_client(error: Exception) -> tuple[ExitCode, dict[str, Any], list[str]] | None:
    from tunegate.client import errors

    if isinstance(error, errors.ApiError):
        advice = _LOGIN if isinstance(error, errors.Unauthorized) else error.advice
        told = {
            "code": error.code, "detail": error.detail, "status": error.status, "advice": advice,
            "errors": msgspec.to_builtins(error.errors), "request_id": error.request_id,
        }  # fmt: skip
        return _code_of(error), told, _lines(error.code, error.detail, error.errors, advice)
    if isinstance(error, errors.GatewayUnreachable):
        advice = "Is a gateway running there? `tunegate doctor` looks at the whole way."
        return (
            ExitCode.UNAVAILABLE,
            {"detail": str(error), "advice": advice},
            [str(error), f"  {advice}"],
        )
    if isinstance(error, errors.ProfileUnusable):
        return ExitCode.USAGE, {"detail": str(error)}, [str(error)]
    return None


_LOGIN = "Put a token into TUNEGATE_TOKEN, or save one: tunegate login URL"


def _code_of(error: Any) -> ExitCode:
    match error.status:
        case 400 | 413 | 415 | 422:
            return ExitCode.INVALID
        case 401 | 403:
            return ExitCode.DENIED
        case 404:
            return ExitCode.NOT_FOUND
        case 409:
            return ExitCode.CONFLICT
        case 408 | 429 | 500 | 502 | 503 | 504:
            return ExitCode.UNAVAILABLE
        case _:
            return ExitCode.FAILED


def _of_catalogue(error: Exception) -> tuple[ExitCode, dict[str, Any], list[str]] | None:
    from tunegate.contract.guard import RequestError
    from tunegate.sdk.errors import CATALOGUE, TunegateError

    if not isinstance(error, RequestError | TunegateError):
        return None
    advice = CATALOGUE[error.code].advice if error.code in CATALOGUE else ""
    told = {"code": error.code, "detail": error.detail, "advice": advice,
            "errors": msgspec.to_builtins(error.problems)}  # fmt: skip
    invalid = isinstance(error, RequestError) or error.problems
    code = ExitCode.INVALID if invalid else ExitCode.FAILED
    return code, told, _lines(error.code, error.detail, error.problems, advice)


def _lines(code: str, detail: str, problems: Any, advice: str) -> list[str]:
    """With a list of problems, "mend them" need not be said."""
    from tunegate.contract.problems import listed

    lines = [f"  {line}" for line in listed(detail, problems)]
    said = [f"  {advice}"] if advice and not (problems and code.startswith("invalid_")) else []
    return [f"{code}: {detail}", *lines, *said]
