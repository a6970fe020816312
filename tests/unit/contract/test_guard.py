import time

import pytest

from tunegate.contract.guard import RequestError, child, parse


def refused(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse(body)
    return caught.value


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"   ", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"a": }', "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b'{"a": 01}', "malformed_json"),
        (b'{"a": 1} x', "malformed_json"),
        (b'{"a": "\x00"}', "malformed_json"),
        (b'{"a": "\n"}', "malformed_json"),
        (b'\xef\xbb\xbf{"a": 1}', "malformed_json"),
        (b"NaN", "malformed_json"),
        (b'{"a": NaN}', "malformed_json"),
        (b'{"a": -Infinity}', "malformed_json"),
        (b'{"a":1,"a":2,', "malformed_json"),
        (b"\xff", "invalid_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8"),
        ('{"a": 1}'.encode("utf-16"), "invalid_utf8"),
        (b"[" * 100_000, "body_too_deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "body_too_deep"),
        (b'["' + b"\\\\" * 9 + b'",' + b"[" * 65, "body_too_deep"),
        (b'{"a": 1, "a": 1}', "duplicate_key"),
        (b'{"a": 1e400}', "invalid_request"),
        (b'{"a": 18446744073709551616}', "invalid_request"),
        (b'{"a": "\\u0000"}', "nul_character"),
        (b'{"\\u0000": 1}', "nul_character"),
        (b'{"a": "\\uD800"}', "nul_character"),
        (b'{"a": "\\udc00\\ud800"}', "nul_character"),
    ],
)
def test_hostile_bodies_get_their_own_code(body: bytes, code: str) -> None:
    assert refused(body).code == code


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 64 + b"]" * 64,
        b'{"a": "' + b"[" * 200 + b'"}',
        b'{"a": "\\"[[[' + b"{" * 100 + b'\\""}',
        b'{"a": "\\ud83d\\ude00 \\\\u0000"}',
        b'{"a": -9223372036854775808, "b": 18446744073709551615, "c": 1e308}',
        b'[{"a": 1}, {"a": 2}]',
    ],
)
def test_sound_bodies_pass(body: bytes) -> None:
    parse(body)


def test_every_doubled_key_is_found_with_its_path() -> None:
    error = refused(b'{"a": 1, "b": {"c": 1, "c": 2}, "a": 2, "d": [{"e": 1, "e": 1}]}')
    assert {p.path for p in error.problems} == {"$.a", "$.b.c", "$.d[0].e"}
    assert {p.code for p in error.problems} == {"duplicate_key"}


def test_every_large_number_is_found_with_its_path() -> None:
    error = refused(b'{"a": 1e999, "b": [2, -1e999], "c": ' + b"9" * 5000 + b"}")
    assert [p.path for p in error.problems] == ["$.a", "$.b[1]", "$.c"]
    assert {p.code for p in error.problems} == {"out_of_range"}


def test_no_message_quotes_the_body() -> None:
    for body in (b'{"a": canary}', b'{"a": "canary', b'{"a": "\\canary"}', b'{"a":1} canary'):
        error = refused(body)
        assert "canary" not in f"{error} {error.problems}"
        assert error.__context__ is None, "the parser's error holds the whole body"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 262_144,
        b"[]" * 131_072,
        b'"' * 262_144,
        b'"\\' * 131_072,
        b'\\"' * 131_072,
        b"9" * 262_144,
        b"[" + b"1e999," * 40_000 + b"1]",
        b"[" + b'"\\u0000",' * 29_000 + b"1]",
        b"{" + b'"a":1,' * 43_000 + b'"a":1}',
        b"{" + b",".join(b'"%06d":1' % n for n in range(23_000)) + b',"0":"\\ud800"}',
    ],
)
def test_hostile_bodies_are_cheap(body: bytes) -> None:
    started = time.process_time()
    refused(body)
    assert time.process_time() - started < 0.5


def test_problems_are_limited() -> None:
    assert len(refused(b"[" + b"1e999," * 1000 + b"1]").problems) == 100


def test_paths() -> None:
    assert child("$", "a-b_c") == "$.a-b_c"
    assert child("$.a", 3) == "$.a[3]"
    assert child("$", 'odd "key"') == '$["odd \\"key\\""]'
    assert len(child("$", "k" * 1000)) < 80
