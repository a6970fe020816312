"""What is wrong with a request, and what of it is ignored: always with a JSON path, never with the value."""

from collections.abc import Sequence

from tunegate.contract.base import Wire


class Problem(Wire):
    """One thing to mend. `path` is a JSON path (`$.datasets[0].source`), `code` stable, `message` for people."""

    path: str
    message: str
    code: str


def listed(detail: str, problems: Sequence[Problem]) -> list[str]:
    """A line for each problem, for people who have read `detail`: a single one may be the detail itself."""
    lines = [f"{each.path}: {each.message}" for each in problems]
    return [] if len(lines) == 1 and detail in lines[0] else lines


class Ignored(Wire):
    """A field that was accepted and has no effect, with the reason."""

    path: str
    reason: str


class ProblemDetails(Wire):
    """The body of every error answer (application/problem+json, RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[Problem] = []
    advice: str = ""
    """What to do, in one sentence."""
    request_id: str | None = None
