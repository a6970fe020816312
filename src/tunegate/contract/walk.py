"""Says all that is wrong with a plain value for a type, following msgspec's own account of that type."""

import re
from collections.abc import Iterable, Iterator, Sized
from difflib import get_close_matches
from typing import Any

from msgspec import inspect, structs

from tunegate.contract.guard import child
from tunegate.contract.problems import Problem
from tunegate.contract.secret import Secret

_VALUE_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    type(None): "null",
}
_LONGEST_GUESSED = 64


def problems_of(expected: inspect.Type, value: Any, path: str) -> Iterator[Problem]:
    """Each problem of `value`, in the order of the type's fields. Lazy: stop reading when there are enough."""
    if isinstance(expected, inspect.Metadata):
        yield from _described(expected, value, path)
    elif isinstance(expected, inspect.UnionType):
        yield from _union(expected, value, path)
    elif not _fits(expected, value):
        yield _problem(path, "wrong_type", f"must be {_kind(expected)}, not {_value_kind(value)}")
    elif isinstance(expected, inspect.StructType):
        yield from _struct(expected, value, path)
    elif isinstance(expected, inspect.DictType):
        yield from _dict(expected, value, path)
    elif isinstance(expected, inspect.ListType | inspect.VarTupleType):
        yield from _length(expected, value, path, "entries")
        for index, entry in enumerate(value):
            yield from problems_of(expected.item_type, entry, child(path, index))
    else:
        yield from _scalar(expected, value, path)


def _scalar(expected: inspect.Type, value: Any, path: str) -> Iterator[Problem]:
    if isinstance(expected, inspect.LiteralType):
        if value not in expected.values:
            yield _problem(path, "invalid_choice", f"must be one of {_listed(expected.values)}")
    elif isinstance(expected, inspect.StrType):
        wrong_length = list(_length(expected, value, path, "characters"))
        yield from wrong_length
        if expected.pattern and not wrong_length and not re.search(expected.pattern, value):
            yield _problem(path, "invalid_format", f"must match {expected.pattern}")
    elif isinstance(expected, inspect.IntType | inspect.FloatType):
        yield from _range(expected, value, path)


def _problem(path: str, code: str, message: str) -> Problem:
    return Problem(path=path, message=message, code=code)


def _described(expected: inspect.Metadata, value: Any, path: str) -> Iterator[Problem]:
    """`Meta(extra={"form": …})` puts a pattern into words."""
    form = (expected.extra or {}).get("form")
    for problem in problems_of(expected.type, value, path):
        own = form and problem.path == path and problem.code == "invalid_format"
        yield structs.replace(problem, message=f"must be {form}") if own else problem


def _union(expected: inspect.UnionType, value: Any, path: str) -> Iterator[Problem]:
    options = [option for option in expected.types if _fits(option, value)]
    tagged = [option for option in options if _tag_field(option)]
    if tagged:
        yield from _tagged(tagged, value, path)
    elif options:
        answers = [list(problems_of(option, value, path)) for option in options]
        yield from min(answers, key=len)
    else:
        kinds = dict.fromkeys(_kind(option) for option in expected.types)
        yield _problem(
            path, "wrong_type", f"must be {' or '.join(kinds)}, not {_value_kind(value)}"
        )


def _tagged(options: list[inspect.Type], value: dict[str, Any], path: str) -> Iterator[Problem]:
    by_tag = {option.tag: option for option in options if isinstance(option, inspect.StructType)}
    field = _tag_field(options[0]) or ""
    tag = value.get(field)
    if field not in value:
        yield _problem(child(path, field), "missing_field", "the field is required")
    elif isinstance(tag, str) and tag in by_tag:
        yield from problems_of(by_tag[tag], value, path)
    else:
        yield _problem(
            child(path, field), "invalid_choice", f"must be one of {_listed(tuple(by_tag))}"
        )


def _tag_field(option: inspect.Type) -> str | None:
    return option.tag_field if isinstance(option, inspect.StructType) else None


def _struct(expected: inspect.StructType, value: dict[str, Any], path: str) -> Iterator[Problem]:
    for field in expected.fields:
        if field.encode_name in value:
            yield from problems_of(
                field.type, value[field.encode_name], child(path, field.encode_name)
            )
        elif field.required:
            yield _problem(child(path, field.encode_name), "missing_field", "the field is required")
    if expected.forbid_unknown_fields:
        known = [field.encode_name for field in expected.fields]
        for key in value:
            if key not in known and key != expected.tag_field:
                yield _problem(child(path, key), "unknown_field", unknown(key, known))


def unknown(key: str, known: Iterable[str]) -> str:
    """The message for a field that nobody knows, with the nearest one that somebody does."""
    near = get_close_matches(key, list(known), n=1) if len(key) <= _LONGEST_GUESSED else []
    return (
        f"the field is not known; did you mean `{near[0]}`?" if near else "the field is not known"
    )


def _dict(expected: inspect.DictType, value: dict[str, Any], path: str) -> Iterator[Problem]:
    yield from _length(expected, value, path, "entries")
    for key, member in value.items():
        for problem in problems_of(expected.key_type, key, child(path, key)):
            yield structs.replace(problem, message=f"the key {problem.message}")
        yield from problems_of(expected.value_type, member, child(path, key))


def _length(
    expected: inspect.StrType | inspect.ListType | inspect.VarTupleType | inspect.DictType,
    value: Sized,
    path: str,
    unit: str,
) -> Iterator[Problem]:
    least, most = expected.min_length, expected.max_length
    if (least is not None and len(value) < least) or (most is not None and len(value) > most):
        yield _problem(path, "invalid_length", f"must have {_between(least, most)} {unit}")


def _between(least: int | None, most: int | None) -> str:
    if most is None:
        return f"at least {least}"
    return f"{least} to {most}" if least else f"at most {most}"


def _range(
    expected: inspect.IntType | inspect.FloatType, value: float, path: str
) -> Iterator[Problem]:
    bounds = (
        (expected.ge, "at least", lambda bound: value >= bound),
        (expected.gt, "more than", lambda bound: value > bound),
        (expected.le, "at most", lambda bound: value <= bound),
        (expected.lt, "less than", lambda bound: value < bound),
    )
    given = [(bound, words, holds) for bound, words, holds in bounds if bound is not None]
    if not all(holds(bound) for bound, _, holds in given):
        limits = " and ".join(f"{words} {bound}" for bound, words, _ in given)
        yield _problem(path, "out_of_range", f"must be {limits}")


def _fits(expected: inspect.Type, value: Any) -> bool:
    """Whether the value is of the right kind of JSON at all."""
    match expected:
        case inspect.Metadata():
            return _fits(expected.type, value)
        case inspect.UnionType():
            return any(_fits(option, value) for option in expected.types)
        case inspect.LiteralType():
            return type(value) in {type(choice) for choice in expected.values}
        case inspect.FloatType():
            return type(value) in (int, float)
        case _:
            kind = _kind(expected)
            return kind == _ANY or kind == _value_kind(value)


_ANY = "any value"


def _kind(expected: inspect.Type) -> str:
    match expected:
        case inspect.Metadata():
            return _kind(expected.type)
        case inspect.StructType() | inspect.DictType():
            return "an object"
        case inspect.ListType() | inspect.VarTupleType():
            return "a list"
        case inspect.StrType():
            return "a string"
        case inspect.CustomType() if expected.cls is Secret:
            return "a string"
        case inspect.BoolType():
            return "a boolean"
        case inspect.IntType():
            return "an integer"
        case inspect.FloatType():
            return "a number"
        case inspect.NoneType():
            return "null"
        case inspect.LiteralType():
            return _value_kind(expected.values[0])
        case _:
            return _ANY


def _value_kind(value: Any) -> str:
    return _VALUE_KINDS.get(type(value), "this")


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(str(value) for value in values)
