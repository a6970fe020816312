"""`docs/ERRORS.md`, from the catalogue."""

from tunegate.sdk.errors import CATALOGUE, ErrorSpec

_HEAD = """\
# Errors

Every error has one stable `code`. Codes are never renamed; new ones may come, so treat an unknown code by its status
(or by the job's `error.origin`). This page is written from `tunegate/sdk/errors.py` by `python -m tunegate.docs`.

- **Who mends it**: `user` (the request, the data, the credentials), `infra` (a machine, an engine, a store), `gateway` (a
  mistake of ours).
- **Again?**: whether the same request, or a retry of the job, may succeed without a change.
"""


def render_errors() -> str:
    """The whole page."""
    answers = [spec for spec in CATALOGUE.values() if spec.http_status is not None]
    failures = [s for s in CATALOGUE.values() if s.http_status is None and _is_failure(s)]
    problems = [s for s in CATALOGUE.values() if s.http_status is None and not _is_failure(s)]
    parts = [
        _HEAD,
        "## Answers to a request\n\n`code` of an `application/problem+json` body.\n",
        _table("Status", [(str(spec.http_status), spec) for spec in answers]),
        "\n## Entries of `errors`\n\nWhat is wrong with one field; `path` says which, `message` what is expected.\n",
        _table("", [("", spec) for spec in problems]),
        "\n## Why a job failed\n\n`error.code` of a job. The trainer ends with the exit code that stands here.\n",
        _table("Exit code", [(_exit_code(spec), spec) for spec in failures]),
    ]
    return "\n".join(parts)


def _is_failure(spec: ErrorSpec) -> bool:
    """Failures of jobs stand behind `config_invalid` in the catalogue, in one block."""
    codes = list(CATALOGUE)
    return codes.index(spec.code) >= codes.index("config_invalid")


def _exit_code(spec: ErrorSpec) -> str:
    return "" if spec.exit_code is None else str(spec.exit_code)


def _table(second: str, rows: list[tuple[str, ErrorSpec]]) -> str:
    columns = [
        "Code",
        *([second] if second else []),
        "What happened",
        "What to do",
        "Who mends it",
        "Again?",
    ]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for extra, spec in rows:
        again = "yes" if spec.retryable else "no"
        cells = [
            f"`{spec.code}`",
            *([extra] if second else []),
            spec.title,
            spec.advice,
            spec.origin.value,
            again,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
