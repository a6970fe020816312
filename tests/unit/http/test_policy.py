from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import CANONICAL, READER, WRITER, FakeJobs, job
from tunegate.http.app import create_routes
from tunegate.http.openapi import operations
from tunegate.http.operation import KEY, Access, Operation

from .conftest import AppFactory

Client = AsyncTestClient[Litestar]

POLICY: dict[tuple[str, str], Access] = {
    ("GET", "/backends"): Access.READ,
    ("GET", "/launchers"): Access.READ,
    ("GET", "/train"): Access.READ,
    ("POST", "/train"): Access.WRITE,
    ("POST", "/{backend}/train"): Access.WRITE,
    ("GET", "/train/{job_id}"): Access.READ,
    ("DELETE", "/train/{job_id}"): Access.WRITE,
    ("POST", "/train/{job_id}/cancel"): Access.WRITE,
    ("POST", "/train/{job_id}/retry"): Access.WRITE,
    ("GET", "/train/{job_id}/request"): Access.READ,
    ("GET", "/train/{job_id}/events"): Access.READ,
    ("GET", "/train/{job_id}/logs"): Access.READ,
    ("GET", "/train/{job_id}/metrics"): Access.READ,
    ("GET", "/train/{job_id}/checkpoints"): Access.READ,
    ("GET", "/train/{job_id}/artifacts"): Access.READ,
    ("GET", "/train/{job_id}/webhooks"): Access.READ,
    ("POST", "/train/{job_id}/webhooks/replay"): Access.WRITE,
    ("GET", "/tokens"): Access.ADMIN,
    ("POST", "/tokens"): Access.ADMIN,
    ("POST", "/tokens/{token_id}/rotate"): Access.ADMIN,
    ("DELETE", "/tokens/{token_id}"): Access.ADMIN,
    ("GET", "/audit"): Access.ADMIN,
    ("GET", "/audit/head"): Access.ADMIN,
    ("GET", "/healthz"): Access.OPEN,
    ("GET", "/readyz"): Access.OPEN,
    ("GET", "/metrics"): Access.METRICS,
    ("GET", "/schema"): Access.OPEN,
    ("GET", "/schema/openapi.json"): Access.OPEN,
    ("GET", "/schema/app.js"): Access.OPEN,
    ("GET", "/schema/style.css"): Access.OPEN,
    ("GET", "/schema/errors"): Access.OPEN,
    ("GET", "/ui"): Access.OPEN,
    ("GET", "/ui/{release}/{name}"): Access.OPEN,
    ("POST", "/internal/attempts/{attempt_id}/claim"): Access.ATTEMPT,
    ("POST", "/internal/attempts/{attempt_id}/events"): Access.ATTEMPT,
    ("POST", "/internal/namespaces/tunegate/trainjobs/{attempt_id}/status"): Access.ATTEMPT,
}
UNSAFE = [(m, p) for (m, p), access in POLICY.items() if access is Access.WRITE]
ADMINS = [(m, p) for (m, p), access in POLICY.items() if access is Access.ADMIN]
CLOSED = [(m, p) for (m, p), access in POLICY.items() if access is not Access.OPEN]

ATTEMPT_BODIES = {
    "/internal/attempts/{attempt_id}/claim": b'{"run_uid": "12345678"}',
    "/internal/attempts/{attempt_id}/events": (
        b'{"run_uid": "12345678", "events": [{"sequence": 1, "at_ms": 0, "event": {"kind": "heartbeat"}}]}'
    ),
    "/internal/namespaces/tunegate/trainjobs/{attempt_id}/status": b'{"trainerStatus": {}}',
}


def filled(path: str) -> str:
    return (
        path.replace("{job_id}", "a")
        .replace("{backend}", "qlora")
        .replace("{attempt_id}", "x")
        .replace("{token_id}", "t")
    )


def test_every_route_declares_the_policy_that_stands_here() -> None:
    found: dict[tuple[str, str], Any] = {}
    for path, method, handler in operations(create_routes()):
        operation: Operation | None = handler.opt.get(KEY)
        found[method, path] = operation and operation.access
    assert found == POLICY


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": "Basic d3JpdGVyLXRva2VuOg=="},
        {"authorization": "writer-token"},
        {"x-trainer-token": "wrong"},
        {"x-trainer-token": ""},
    ],
)
async def test_without_a_valid_token_every_closed_route_is_401(
    client: Client, jobs: FakeJobs, method: str, path: str, headers: dict[str, str]
) -> None:
    jobs.add(job("a"))
    sent = headers | {"content-type": "application/json"}
    answer = await client.request(
        method, filled(path), content=ATTEMPT_BODIES.get(path, CANONICAL), headers=sent
    )
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        WRITER,
        {"authorization": "bearer writer-token"},
        {"x-trainer-token": "writer-token"},
        {"authorization": "Basic x", "x-trainer-token": "writer-token"},
    ],
)
async def test_a_token_may_come_in_either_header(client: Client, headers: dict[str, str]) -> None:
    assert (await client.get("/train", headers=headers)).status_code == 200


@pytest.mark.parametrize(("method", "path"), UNSAFE)
async def test_a_read_only_token_changes_nothing(
    client: Client, jobs: FakeJobs, method: str, path: str
) -> None:
    jobs.add(job("a"))
    headers = READER | {"content-type": "application/json"}
    answer = await client.request(method, filled(path), content=CANONICAL, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert jobs.calls == []
    assert "a" in jobs.jobs


@pytest.mark.parametrize(("method", "path"), ADMINS)
async def test_only_an_admin_manages_tokens(client: Client, method: str, path: str) -> None:
    for holder in (READER, WRITER):
        headers = holder | {"content-type": "application/json"}
        answer = await client.request(method, filled(path), content=b"{}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "a@b:c", "[::1"]
)
async def test_foreign_names_are_refused(client: Client, host: str) -> None:
    answer = await client.get("/train", headers=READER | {"host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")
    assert "evil" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:8080", "[::1]:8080"])
async def test_loopback_names_are_ours(client: Client, host: str) -> None:
    assert (await client.get("/train", headers=READER | {"host": host})).status_code == 200


async def test_configured_names_are_ours(make_app: AppFactory) -> None:
    app = make_app(allowed_hosts=["gw.local"], public_url="https://tune.example:8443/x")
    async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
        for host, status in [("gw.local", 200), ("tune.example", 200), ("other.local", 403)]:
            answer = await client.get("/train", headers=READER | {"host": host})
            assert answer.status_code == status


async def test_probes_may_call_by_any_name(client: Client) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await client.get(path, headers={"host": "10.1.2.3:8080"})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), UNSAFE)
async def test_other_web_pages_change_nothing(
    client: Client, jobs: FakeJobs, method: str, path: str, headers: dict[str, str]
) -> None:
    jobs.add(job("a"))
    sent = WRITER | headers | {"content-type": "application/json"}
    answer = await client.request(method, filled(path), content=CANONICAL, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")
    assert jobs.calls == []


async def test_our_own_page_may_try_the_api(client: Client) -> None:
    headers = {
        "origin": "http://127.0.0.1",
        "sec-fetch-site": "same-origin",
        "content-type": "application/json",
    }
    answer = await client.post("/train", content=CANONICAL, headers=WRITER | headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "application/json; charset=latin-1", "", None]
)  # fmt: skip
async def test_only_json_comes_in(client: Client, jobs: FakeJobs, media: str | None) -> None:
    headers = WRITER | ({} if media is None else {"content-type": media})
    answer = await client.post("/train", content=CANONICAL, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    jobs.add(job("a"))
    for path in ("/train/a/cancel", "/train/a/retry"):
        answer = await client.post(path, content=CANONICAL, headers=headers)
        assert answer.status_code == 415


@pytest.mark.parametrize(
    "media",
    [None, "", "application/octet-stream", "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)  # fmt: skip
async def test_the_type_of_an_empty_body_says_nothing(
    client: Client, jobs: FakeJobs, media: str | None
) -> None:
    jobs.add(job("a"))
    headers = WRITER | ({} if media is None else {"content-type": media})
    for path in ("/train/a/cancel", "/train/a/retry"):
        assert (await client.post(path, headers=headers)).status_code == 200
    assert (await client.delete("/train/a", headers=headers)).status_code == 204


async def test_json_in_utf8_comes_in(client: Client) -> None:
    for media in (
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
    ):
        answer = await client.post(
            "/train", content=CANONICAL, headers=WRITER | {"content-type": media}
        )
        assert answer.status_code in (200, 201)


async def test_without_tokens_everybody_is_the_default_tenant(
    make_app: AppFactory, jobs: FakeJobs
) -> None:
    async with AsyncTestClient(make_app(tokens=[]), base_url="http://127.0.0.1") as client:
        answer = await client.post(
            "/train", content=CANONICAL, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 201
        assert jobs.calls[0][1] == "default"
        assert (await client.get("/metrics")).status_code == 200


async def test_metrics_may_be_opened(make_app: AppFactory) -> None:
    async with AsyncTestClient(make_app(metrics_open=True), base_url="http://127.0.0.1") as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/train")).status_code == 401
