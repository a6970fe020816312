"""Hostile bodies without end: a corpus of known killers, and seeded spoiling of good bodies.

Every value that is put in holds `CANARY`; what stands in a secret's place holds `SECRET`. No answer may repeat one:
refusals repeat nothing but names of fields, and a stored job never shows a secret.
"""

import copy
import json
import random
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

CANARY = "c4n4ryV4lue"
SECRET = "s3cr3tC4n4ry"
EXAMPLES: list[dict[str, Any]] = [
    json.loads(files("tunegate.http").joinpath("examples", f"{name}.json").read_bytes())
    for name in ("canonical", "lora", "qlora", "full")
]
SECRETS = frozenset({
    "auth_token", "huggingface_token", "auth_header", "aws_access_key_id", "aws_secret_access_key", "aws_session_token",
    "token", "password", "username", "external_id",
})  # fmt: skip
ODD_NAMES = (
    "__proto__", "constructor", "prototype", "__class__", "$ref", "$where", "", " ", "a" * 5000, "job_id ", "JOB_ID",
    "j\u03bfb_id", "\u202e", "../", "{{7*7}}", "${jndi:ldap://x}", "'; DROP TABLE job; --", "\x7f", "é" * 100,
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, -(2**63) - 1, 0.1, -0.0, 1e308, 5e-324,
    "", " ", CANARY, CANARY * 500, f"{CANARY}\n", f"\u202e{CANARY}", f"{CANARY}\ud7ff", f"../{CANARY}", f"%00{CANARY}",
    f"http://169.254.169.254/{CANARY}", f"file:///{CANARY}", f"s3://{CANARY}/{CANARY}", f"https://{CANARY}:x@{CANARY}/?{CANARY}",
    f"${{{CANARY}}}", f"<script>{CANARY}</script>", f"{CANARY}@", "a" * 129, "-" + CANARY, f"https://[{CANARY}", f"s3://{CANARY}\\",
    [], [CANARY], [[[CANARY]]], [None], {}, {CANARY: CANARY}, {"kind": CANARY}, [{}] * 300, {str(n): n for n in range(300)},
)  # fmt: skip
ODD_BYTES = (
    b"[", b"]", b"{", b"}", b'"', b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80",
    b"1e999", b"-1e999", b"NaN", b"-Infinity", b",", b":", b"null", b"0", b"01", b"0x1", b"+1", b".5", b"1.", b"/**/", b"'",
    b"\x00", b"\x0b", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"1" * 5000, b"-", b"\t", b"\r\n", b"tru", b"[[[[[[[[",
)  # fmt: skip


def corpus(limit_bytes: int = 262_144) -> dict[str, bytes]:
    """By name: what has brought down JSON services before."""
    good = json.dumps(EXAMPLES[0]).encode()
    quoted = json.dumps(CANARY).encode()
    collisions = {str(n * (2**61 - 1)): CANARY for n in range(4000)}
    return {
        "nothing": b"",
        "white space": b" \n\t" * 1000,
        "deep lists": b"[" * 100_000,
        "deep lists, closed": b"[" * 100_000 + b"]" * 100_000,
        "deep objects": b'{"a":' * 40_000 + quoted,
        "deep in a free object": good.replace(b'"rank"', b'"x": ' + b"[" * 70 + b"]" * 70 + b', "rank"'),
        "brackets in a string": b'{"job_id": "' + b"[" * 200_000 + b'"}',
        "many lists": b"[" + b"[]," * 80_000 + b"[]]",
        "ten megabytes of lists": b"[" + b"[]," * 3_400_000 + b"[]]",
        "at the limit": b'{"job_id": "' + b"a" * (limit_bytes - 14) + b'"}',
        "one over the limit": b'{"job_id": "' + b"a" * (limit_bytes - 13) + b'"}',
        "not UTF-8": b'{"job_id": "' + CANARY.encode() + b'\xff\xfe"}',
        "overlong": b'{"job_id": "\xc0\x80' + CANARY.encode() + b'"}',
        "surrogate bytes": b'{"job_id": "\xed\xa0\x80' + CANARY.encode() + b'"}',
        "lone surrogate": b'{"job_id": "\\ud800' + CANARY.encode() + b'"}',
        "reversed pair": b'{"job_id": "\\udc00\\ud800' + CANARY.encode() + b'"}',
        "NUL in a value": b'{"job_id": "a\\u0000' + CANARY.encode() + b'"}',
        "NUL in a key": b'{"a\\u0000": ' + quoted + b"}",
        "byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-32": good.decode().encode("utf-32"),
        "UTF-7": b'+AHsAIgBhACIAOgAx-' + quoted,
        "gzip": b"\x1f\x8b\x08\x00" + good,
        "two values": good + good,
        "a line of JSON behind": good + b"\n" + quoted,
        "comment": b"/* " + CANARY.encode() + b" */" + good,
        "NaN": good.replace(b"0.0002", b"NaN"),
        "infinity": b'{"job_id": Infinity}',
        "1e400": b'{"job_id": 1e400}',
        "-0": b'{"job_id": -0}',
        "long integer": b'{"job_id": ' + b"9" * 200_000 + b"}",
        "long fraction": b'{"job_id": 0.' + b"9" * 200_000 + b"}",
        "long exponent": b'{"job_id": 1e' + b"9" * 100_000 + b"}",
        "doubled key": b'{"job_id": "a", "job_id": ' + quoted + b"}",
        "doubled key, escaped": b'{"job_id": "a", "job\\u005fid": ' + quoted + b"}",
        "ten thousand times one key": b"{" + b'"a":1,' * 10_000 + b'"a":1}',
        "keys that collide": json.dumps(collisions).encode(),
        "many keys": json.dumps({f"k{n}": CANARY for n in range(9000)}).encode(),
        "scalar": quoted,
        "number": b"17",
        "list": b"[" + good + b"]",
        "null": b"null",
        "backslashes": b'{"job_id": "' + b"\\\\" * 100_000 + b'"}',
        "quotes without end": b'"' * 200_000,
        "escape at the end": b'{"job_id": "\\',
        "form": b"job_id=" + CANARY.encode(),
        "XML": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b '" + CANARY.encode() + b"'>]><a>&b;</a>",
        "pickle": b"\x80\x04\x95" + CANARY.encode(),
    }  # fmt: skip


def every_field() -> Iterator[bytes]:
    """Each field of each example with each odd value, each field left out, each object with each odd name."""
    for example in EXAMPLES:
        for path in _paths(example):
            if path:
                yield _encode(_without(example, path))
                for value in ODD_VALUES:
                    yield _encode(_with(example, path, value))
            if isinstance(_at(example, path), dict):
                for name in ODD_NAMES:
                    yield _encode(_with(example, (*path, name), CANARY))


def spoiled(seed: int) -> Iterator[bytes]:
    """Good bodies with a few things wrong, for ever; the same seed, the same bodies."""
    chance = random.Random(seed)
    while True:
        example = copy.deepcopy(chance.choice(EXAMPLES))
        example["job_id"] = f"j{chance.randrange(10**9)}"
        for _ in range(chance.randrange(4)):
            path = chance.choice([p for p in _paths(example) if p])
            value = chance.choice(ODD_VALUES) if chance.random() < 0.8 else _any(chance, 3)
            example = _with(example, path, _secret(path, value))
        body = _encode(example)
        for _ in range(chance.choice((0, 0, 0, 1, 2, 5))):
            at = chance.randrange(len(body) + 1)
            body = body[:at] + chance.choice(ODD_BYTES) + body[at + chance.randrange(20) :]
        yield body


def _any(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(4 if depth else 2)
    if kind == 2:
        return [_any(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 3:
        names = (chance.choice(ODD_NAMES), f"k{chance.randrange(99)}")
        return {name: _any(chance, depth - 1) for name in names}
    return chance.choice(ODD_VALUES)


def _secret(path: tuple[Any, ...], value: Any) -> Any:
    return (
        value.replace(CANARY, SECRET) if path[-1] in SECRETS and isinstance(value, str) else value
    )


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=len(repr(value)) % 2 == 0).encode(
        "utf-8", "surrogatepass"
    )


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members: list[Any] = []
    if isinstance(value, dict):
        members = list(value)
    elif isinstance(value, list):
        members = list(range(len(value)))
    return [path, *(p for m in members for p in _paths(value[m], (*path, m)))]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    _at(value, path[:-1])[path[-1]] = new
    return value


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    value = copy.deepcopy(value)
    del _at(value, path[:-1])[path[-1]]
    return value
