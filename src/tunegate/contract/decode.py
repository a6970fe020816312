"""From plain values to typed ones: quickly when all is well, with every problem at once when it is not."""

from itertools import islice
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from tunegate.contract.guard import MAX_PROBLEMS, RequestError, parse
from tunegate.contract.problems import Problem
from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import decode_hook
from tunegate.contract.walk import problems_of

ValueT = TypeVar("ValueT")


def decode_request(body: bytes) -> TrainRequest:
    """The body of `POST /train`. Raises RequestError with every problem found."""
    return decode(TrainRequest, body)


def decode(target: type[ValueT], body: bytes) -> ValueT:
    """A body as `target`, strictly: `"3"` is no integer, an unknown field of a Strict Struct is an error."""
    decoded, problems = collect(target, parse(body), "$")
    if decoded is None:
        count = len(problems)
        detail = f"{problems[0].path}: {problems[0].message}" if count == 1 else f"{count} problems"
        raise RequestError("invalid_request", detail, tuple(problems))
    return decoded


def collect(target: type[ValueT], value: Any, path: str) -> tuple[ValueT | None, list[Problem]]:
    """`value` as `target`, or None and all that is wrong with it, with paths below `path` and no value echoed."""
    try:
        return msgspec.convert(value, target, dec_hook=decode_hook), []
    except msgspec.ValidationError:
        # Its message may quote the value: it is dropped here, and the walk below says the same without.
        pass
    found = list(islice(problems_of(inspect.type_info(target), value, path), MAX_PROBLEMS))
    return None, found or [Problem(path=path, message="the value does not fit", code="wrong_type")]
