"""The request of a command line: a JSON file or standard input, with single values set over it."""

import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import msgspec

from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def read(
    file: str,
    changes: tuple[str, ...] = (),
    backend: str | None = None,
    launcher: str | None = None,
) -> dict[str, Any]:
    """The values of FILE (`-` = standard input) after all `path=value`, with this backend and launcher. Raises Failure."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        body = msgspec.json.decode(content)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", ExitCode.USAGE) from None
    except msgspec.DecodeError as error:
        raise Failure(f"{file} is not JSON: {error}", ExitCode.USAGE) from None
    if not isinstance(body, dict):
        raise Failure(f"{file} holds no JSON object", ExitCode.USAGE)
    request = cast("dict[str, Any]", body)
    change(request, changes)
    if backend is not None:
        request["backend"] = backend
    if launcher is not None:
        put(request, "extra_parameters.launcher", launcher)
    return request


def change(values: dict[str, Any], changes: tuple[str, ...]) -> None:
    """Set every `path=value`, one after the other. Raises Failure."""
    for each in changes:
        path, equals, text = each.partition("=")
        if not equals or not path:
            raise Failure(f"--set {path!r}: write path=value", ExitCode.USAGE)
        put(values, path, value_of(text))


def value_of(text: str) -> Any:
    """JSON where it is JSON, else the text itself: `8`, `true`, `["a"]`, `"8"` and `s3://bucket/x` all say what they mean."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def put(body: Any, path: str, value: Any) -> None:
    """Set what lies at `customization.rank` or `datasets[0].source`; what is not there is made. Raises Failure."""
    place = body
    for step, following in pairwise([*_steps(path), None]):
        _make_room(place, step, path)
        if following is None:
            place[step] = value
        elif place[step] is None:
            place[step] = [] if isinstance(following, int) else {}
        place = place[step]


def _make_room(place: object, step: str | int | None, path: str) -> None:
    """Let `place[step]` be there, as None if need be; a list grows by one entry at most."""
    if isinstance(step, int):
        entries = cast("list[Any]", place) if isinstance(place, list) else None
        if entries is None or step > len(entries):
            raise Failure(f"--set {path}: there is no list with room for [{step}]", ExitCode.USAGE)
        if step == len(entries):
            entries.append(None)
    elif isinstance(place, dict):
        cast("dict[Any, Any]", place).setdefault(step, None)
    else:
        raise Failure(f"--set {path}: {step} would stand in something that is no object", ExitCode.USAGE)  # fmt: skip


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None or (match[1] is not None and (position > 0) != match[0].startswith(".")):
            raise Failure(f"--set {path}: a path is like datasets[0].source", ExitCode.USAGE)
        steps.append(match[1] if match[1] is not None else int(match[2]))
        position = match.end()
    return steps
