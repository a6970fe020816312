"""What AWS's own description of its API says against a value: lengths, ranges, patterns, choices, required fields."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ServiceModel, Shape


@cache
def service(name: str) -> ServiceModel:
    return botocore.session.Session().get_service_model(name)


def violations(operation: str, request: Any, name: str = "sagemaker") -> list[str]:
    """Sentences; empty when the request is a sound one."""
    shape = service(name).operation_model(operation).input_shape
    assert shape is not None
    return list(_walk(shape, request, "$"))


def _walk(shape: Shape, value: Any, path: str) -> Iterator[str]:
    limits: dict[str, Any] = shape.metadata
    kind = shape.type_name
    if kind == "structure":
        yield from _members(shape, value, path)
    elif kind == "list":
        yield from _size(limits, len(value), path)
        for index, one in enumerate(value):
            yield from _walk(shape.member, one, f"{path}[{index}]")  # pyright: ignore[reportAttributeAccessIssue]
    elif kind == "map":
        yield from _size(limits, len(value), path)
        for key, one in value.items():
            yield from _walk(shape.key, key, f"{path}{{}}")  # pyright: ignore[reportAttributeAccessIssue]
            yield from _walk(shape.value, one, f"{path}.{key}")  # pyright: ignore[reportAttributeAccessIssue]
    elif kind == "string":
        yield from _text(limits, value, path)
    elif kind in ("integer", "long"):
        if type(value) is not int:
            yield f"{path} is no integer"
        else:
            yield from _size(limits, value, path)
    elif kind == "boolean" and type(value) is not bool:
        yield f"{path} is no boolean"


def _members(shape: Shape, value: Any, path: str) -> Iterator[str]:
    members: dict[str, Shape] = shape.members  # pyright: ignore[reportAttributeAccessIssue]
    required: list[str] = shape.metadata.get("required", [])
    yield from (f"{path}.{name} is missing" for name in required if name not in value)
    for key, one in value.items():
        if key in members:
            yield from _walk(members[key], one, f"{path}.{key}")
        else:
            yield f"{path}.{key} is not known"


def _text(limits: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{path} is no string"
        return
    yield from _size(limits, len(value), path)
    if "enum" in limits and value not in limits["enum"]:
        yield f"{path} is none of the choices"
    pattern = limits.get("pattern")
    if pattern and not re.fullmatch(pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w "), value, re.DOTALL):
        yield f"{path} does not fit {pattern}"


def _size(limits: dict[str, Any], size: int, path: str) -> Iterator[str]:
    if "min" in limits and size < limits["min"]:
        yield f"{path} is below {limits['min']}"
    if "max" in limits and size > limits["max"]:
        yield f"{path} is above {limits['max']}"
