import re

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import READER, WRITER, FakeJobs
from tunegate.http.problems import as_error, encode_problem
from tunegate.sdk.errors import CATALOGUE, TunegateError

Client = AsyncTestClient[Litestar]
JSON = WRITER | {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("POST", "/train/a/b/c", 404, "not_found"),
        ("PUT", "/train", 405, "method_not_allowed"),
        ("PATCH", "/train/a", 405, "method_not_allowed"),
        ("OPTIONS", "/train", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/train/a", 404, "job_not_found"),
        ("GET", "/train/a/events", 404, "job_not_found"),
        ("GET", "/train/a/logs", 404, "job_not_found"),
        ("POST", "/train", 415, "unsupported_media_type"),
    ],
)
async def test_everything_that_goes_wrong_is_problem_details(
    client: Client, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path, headers=WRITER)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/schema/errors#{code}")
    assert body["request_id"] == answer.headers["x-request-id"]


async def test_405_names_the_methods(client: Client) -> None:
    answer = await client.put("/train", headers=WRITER)
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


async def test_request_ids_are_kept_or_made(client: Client) -> None:
    kept = await client.get("/healthz", headers={"x-request-id": "My-id.1"})
    assert kept.headers["x-request-id"] == "My-id.1"
    for bad in ("a b", "x" * 65, "é".encode(), "a\tb"):
        made = await client.get("/healthz", headers={"x-request-id": bad})
        assert re.fullmatch(r"[0-9a-f]{16}", made.headers["x-request-id"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"[" * 100_000, 400, "body_too_deep"),
        (b"[]" * 5_000_000, 413, "body_too_large"),
        (b"\xff", 400, "invalid_utf8"),
        (b'{"job_id": "\\u0000"}', 400, "nul_character"),
        (b'{"job_id": NaN}', 400, "malformed_json"),
        (b'{"a": 1, "a": 2}', 400, "duplicate_key"),
        (b"{}", 400, "invalid_request"),
    ],
)
async def test_hostile_bodies(
    client: Client, jobs: FakeJobs, body: bytes, status: int, code: str
) -> None:
    answer = await client.post("/train", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert jobs.calls == []


async def test_every_answer_forbids_caching_and_guessing(client: Client) -> None:
    for path in ("/healthz", "/nope", "/schema", "/train"):
        headers = (await client.get(path, headers=READER)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_every_code_of_a_request_can_be_encoded() -> None:
    for spec in CATALOGUE.values():
        if spec.http_status is not None:
            status, headers, body = encode_problem(TunegateError(spec.code), "id")
            assert status == spec.http_status
            assert headers["content-type"] == "application/problem+json"
            assert spec.code.encode() in body


def test_unknown_exceptions_are_internal_errors() -> None:
    assert as_error(KeyError("canary")).code == "internal_error"
    assert "canary" not in as_error(KeyError("canary")).detail
