"""From bytes to plain values: all that is wrong with a body as JSON is found here, before any type is looked at.

Linear in the size of the body, whatever it holds: a hostile one costs milliseconds.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate, islice
from typing import Any, NoReturn, cast

import msgspec

from tunegate.contract.problems import Problem

MAX_DEPTH = 64
MAX_PROBLEMS = 100
"""Problems reported per body; who has more learns of the rest after mending these."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_LARGE = 2.0**53
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""A cheap sign that an escape may stand for a NUL or half of a surrogate pair."""
_KEY_SHOWN = 64
_decoder = msgspec.json.Decoder()


class RequestError(Exception):
    """A body that is refused. `code` and the problems' codes stand in the catalogue of `tunegate.sdk.errors`."""

    def __init__(self, code: str, detail: str, problems: tuple[Problem, ...] = ()) -> None:
        self.code = code
        self.detail = detail
        self.problems = problems
        super().__init__(f"{code}: {detail}")


def child(path: str, key: str | int) -> str:
    """The JSON path of a member: `$.a`, `$.a[0]`, `$["odd key"]`; long keys are cut."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    shown = key if len(key) <= _KEY_SHOWN else key[:_KEY_SHOWN] + "…"
    return f"{path}.{shown}" if _PLAIN_KEY.fullmatch(shown) else f"{path}[{json.dumps(shown)}]"


def parse(body: bytes) -> Any:
    """The JSON value of `body`: dict, list, str, int, float, bool and None. Raises RequestError."""
    value = _load_usual(body)
    if value is not None:
        return value
    text = _decode(body)
    _check_depth(body)
    value = _load(text)
    if _SUSPECT.search(body):
        _refuse("nul_character", _find(_unusable_characters, value))
    return value


def _decode(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        position = error.start
    raise RequestError("invalid_utf8", f"The body is not UTF-8: byte {position} does not belong.")


def _check_depth(body: bytes) -> None:
    steps = _STRING.sub(b"", body).translate(_STEPS, _NOT_BRACKETS)
    if max(accumulate(memoryview(steps).cast("b")), default=0) > MAX_DEPTH:
        raise RequestError("body_too_deep", f"The body is nested more than {MAX_DEPTH} deep.")


def _load_usual(body: bytes) -> Any:
    """The value where nothing about the body is unusual, many times as fast; None says nothing.

    A colon stands in a string or belongs to a member, so a key that stands twice leaves more colons than are found.
    """
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH or b"\\u" in body:
        return None
    try:
        value = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if _colons(value) == body.count(b":") else None


def _colons(value: Any) -> int:
    """How many colons it is written with; -1 where it holds a number that codecs may read in different ways."""
    found, waiting = 0, [value]
    while waiting:
        member = waiting.pop()
        kind = type(member)
        if kind is str:
            found += member.count(":")
        elif kind is dict:
            found += len(member) + "".join(member).count(":")
            waiting.extend(member.values())
        elif kind is list:
            waiting.extend(member)
        elif (kind is int or kind is float) and not -_LARGE < member < _LARGE:
            return -1
    return found


class _Faulty(Exception):
    """The quick pass met a doubled key or a number out of range; the slow one says where."""


class _Repeated(dict[str, Any]):
    """An object whose `keys_twice` stand more than once in it."""

    keys_twice: list[str]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Faulty
    return members


def _mark_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(key for key, _ in pairs)
    members = _Repeated(pairs)
    members.keys_twice = [key for key, count in counts.items() if count > 1]
    return members


def _read_int(digits: str) -> float:
    """An int of 64 bits; infinity for what is larger, as no two codecs agree on it."""
    value = int(digits) if len(digits) <= 20 else 2**64
    return value if -(2**63) <= value < 2**64 else math.inf


def _refusing(read: Callable[[str], float]) -> Callable[[str], float]:
    def read_finite(digits: str) -> float:
        value = read(digits)
        if math.isinf(value):
            raise _Faulty
        return value

    return read_finite


def _not_json(_constant: str) -> NoReturn:
    raise RequestError("malformed_json", "The body is not JSON: NaN and Infinity are not JSON.")


_QUICK = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_refusing(_read_int),
    parse_float=_refusing(float),
    parse_constant=_not_json,
)
_SLOW = json.JSONDecoder(
    object_pairs_hook=_mark_repeated, parse_int=_read_int, parse_constant=_not_json
)


def _load(text: str) -> Any:
    try:
        return _decode_json(_QUICK, text)
    except _Faulty:
        pass
    value = _decode_json(_SLOW, text)
    _refuse("duplicate_key", _find(_repeated_keys, value))
    _refuse("invalid_request", _find(_large_numbers, value))
    return value


def _decode_json(decoder: json.JSONDecoder, text: str) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        # The parser's message is one of a fixed few and never quotes the body; the error itself holds all of it.
        detail = f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
    raise RequestError("malformed_json", detail)


def _refuse(code: str, problems: tuple[Problem, ...]) -> None:
    if problems:
        raise RequestError(code, f"{problems[0].path}: {problems[0].message}", problems)


def _find(look: Callable[[str, Any], Iterator[Problem]], value: Any) -> tuple[Problem, ...]:
    found = (problem for path, member in _walk("$", value) for problem in look(path, member))
    return tuple(islice(found, MAX_PROBLEMS))


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, member in cast("dict[str, Any]", value).items():
            yield from _walk(child(path, key), member)
    elif isinstance(value, list):
        for index, member in enumerate(cast("list[Any]", value)):
            yield from _walk(child(path, index), member)


def _repeated_keys(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, _Repeated):
        for key in value.keys_twice:
            yield Problem(
                path=child(path, key), message="the key stands more than once", code="duplicate_key"
            )


def _large_numbers(path: str, value: Any) -> Iterator[Problem]:
    if value in (math.inf, -math.inf):
        yield Problem(path=path, message="the number is too large", code="out_of_range")


def _unusable_characters(path: str, value: Any) -> Iterator[Problem]:
    strings = value if isinstance(value, dict) else (value,)
    if any(isinstance(text, str) and _UNUSABLE.search(text) for text in strings):
        message = "a string holds a NUL character or half of a surrogate pair"
        yield Problem(path=path, message=message, code="nul_character")
