"""`extra_parameters`, key by key: each goes to whoever takes it, and one that nobody takes is an error. Pure."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from tunegate.contract.decode import collect
from tunegate.contract.guard import child
from tunegate.contract.problems import Ignored, Problem

ROOT = "$.extra_parameters"
COMMON = frozenset({"launcher"})
"""Keys that the gateway itself reads."""
_USED_OF_UNSLOTH = "gradient_accumulation"

StructT = TypeVar("StructT", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Routed:
    """`options` is None where the given ones don't fit; `launcher_options` are the checked keys as they were given."""

    options: msgspec.Struct | None
    launcher_options: dict[str, Any]
    problems: list[Problem]
    ignored: list[Ignored]


def route(
    extra: dict[str, Any] | None,
    backend_type: type[msgspec.Struct],
    launcher_type: type[msgspec.Struct] | None,
) -> Routed:
    """Share out the keys. A key that backend and launcher both know goes to both; null means not given."""
    given = {key: value for key, value in (extra or {}).items() if value is not None}
    for_backend = _taken(given, backend_type)
    for_launcher = _taken(given, launcher_type) if launcher_type is not None else {}
    options, problems = collect(backend_type, for_backend, ROOT)
    if launcher_type is not None:
        _, launcher_problems = collect(launcher_type, for_launcher, ROOT)
        problems = [*problems, *(p for p in launcher_problems if p not in problems)]
    rest = given.keys() - for_backend.keys() - for_launcher.keys() - COMMON
    ignored = _ancestors({key: given[key] for key in rest})
    if launcher_type is not None:
        known = {*COMMON, *_keys(backend_type), *_keys(launcher_type)}
        unknown = sorted(rest - {"executor", "unsloth"})
        problems = [*problems, *(_unknown(key, known) for key in unknown)]
    return Routed(options, for_launcher, problems, ignored)


def launcher_name(extra: dict[str, Any] | None, default: str) -> str | Problem:
    """The launcher that the job asks for."""
    name = (extra or {}).get("launcher")
    if name is None:
        return default
    if isinstance(name, str):
        return name
    return Problem(path=f"{ROOT}.launcher", code="wrong_type", message="must be a string")


@cache
def _keys(options_type: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(options_type))


def _taken(given: dict[str, Any], options_type: type[msgspec.Struct]) -> dict[str, Any]:
    return {key: given[key] for key in _keys(options_type) if key in given}


def _ancestors(rest: dict[str, Any]) -> list[Ignored]:
    """What clients of this gateway's forerunners still send."""
    ignored: list[Ignored] = []
    if "executor" in rest:
        ignored.append(
            Ignored(path=f"{ROOT}.executor", reason="`launcher` chooses where a job runs")
        )
    if "unsloth" in rest:
        unsloth = rest["unsloth"]
        keys = cast("dict[str, Any]", unsloth) if isinstance(unsloth, dict) else {"": unsloth}
        ignored.extend(
            Ignored(
                path=child(f"{ROOT}.unsloth", key) if key else f"{ROOT}.unsloth",
                reason=f"of `unsloth` only `{_USED_OF_UNSLOTH}` is used",
            )
            for key in sorted(keys)
            if key != _USED_OF_UNSLOTH
        )
    return ignored


def _unknown(key: str, known: set[str]) -> Problem:
    near = get_close_matches(key[:64], known, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(sorted(known))}"
    return Problem(
        path=child(ROOT, key),
        code="unknown_field",
        message=f"neither the backend nor the launcher takes this{hint}",
    )
