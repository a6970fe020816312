import json
from typing import Any

from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import CANONICAL, READER, WRITER, FakeJobs, job
from tunegate.control.store.protocol import JobFilter
from tunegate.sdk.errors import TunegateError

Client = AsyncTestClient[Litestar]
JSON = WRITER | {"content-type": "application/json"}


async def test_a_new_job_is_201_with_its_location(client: Client) -> None:
    answer = await client.post("/train", content=CANONICAL, headers=JSON)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/train/unique-train-id"
    assert answer.json()["job_id"] == "unique-train-id"


async def test_the_same_body_again_is_200(client: Client) -> None:
    first = await client.post("/train", content=CANONICAL, headers=JSON)
    again = await client.post("/train", content=CANONICAL, headers=JSON)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


async def test_another_body_is_409_that_must_not_be_retried(
    client: Client, canonical: dict[str, Any]
) -> None:
    await client.post("/train", content=CANONICAL, headers=JSON)
    canonical["base_model"]["auth_token"] = "hf_other"
    answer = await client.post("/train", json=canonical, headers=WRITER)
    assert answer.status_code == 409
    assert answer.json()["code"] == "job_conflict"
    assert answer.headers["x-should-retry"] == "false"


async def test_the_path_pins_the_backend(client: Client, jobs: FakeJobs) -> None:
    answer = await client.post("/qlora/train", content=CANONICAL, headers=JSON)
    assert answer.status_code == 201
    assert jobs.calls == [("submit", "writer", "unique-train-id", "qlora")]


async def test_a_backend_that_is_not_installed_is_404(client: Client, jobs: FakeJobs) -> None:
    answer = await client.post("/nope/train", content=CANONICAL, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (404, "backend_not_found")
    assert jobs.calls == []


async def test_a_dry_run_submits_nothing(client: Client, jobs: FakeJobs) -> None:
    answer = await client.post("/train?dry_run=true", content=CANONICAL, headers=JSON)
    assert answer.status_code == 200
    assert [call[0] for call in jobs.calls] == ["dry_run"]


async def test_a_misspelt_parameter_starts_no_job(client: Client, jobs: FakeJobs) -> None:
    answer = await client.post("/train?dryrun=true", content=CANONICAL, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert "did you mean `dry_run`?" in answer.json()["errors"][0]["message"]
    assert jobs.calls == []


async def test_lists_pass_their_filters_on(client: Client, jobs: FakeJobs) -> None:
    query = "status=running&backend=qlora&metadata[team]=a&metadata[x]=&after=job-1&limit=7"
    answer = await client.get(f"/train?{query}", headers=READER)
    assert answer.status_code == 200
    _, wanted, after, limit = jobs.calls[0]
    assert (wanted.status, wanted.backend, wanted.metadata) == (
        "running",
        "qlora",
        {"team": "a", "x": ""},
    )
    assert (after, limit) == ("job-1", 7)


async def test_lists_search_and_take_a_span_of_time(client: Client, jobs: FakeJobs) -> None:
    query = (
        "launcher=local&search=50%25&since=1970-01-01T00:00:01Z&until=1970-01-01T00:01:00%2B00:00"
    )
    answer = await client.get(f"/train?{query}", headers=READER)
    assert answer.status_code == 200
    wanted = jobs.calls[0][1]
    assert wanted == JobFilter(launcher="local", search="50%", since_ms=1000, until_ms=60_000)
    for bad in ("search=", "search=a%00b", f"search={'x' * 129}", "since=yesterday"):
        assert (await client.get(f"/train?{bad}", headers=READER)).status_code == 400, bad


async def test_a_request_comes_back_as_it_is_kept(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a"))
    answer = await client.get("/train/a/request", headers=READER)
    assert (answer.content, answer.headers["content-type"]) == (CANONICAL, "application/json")
    assert (await client.get("/train/b/request", headers=READER)).status_code == 404


async def test_metrics_go_on_behind_an_event(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a"))
    await client.get("/train/a/metrics", headers=READER)
    await client.get("/train/a/metrics?after=7", headers=READER)
    assert jobs.calls == [("metrics", "a", 0), ("metrics", "a", 7)]
    assert (await client.get("/train/a/metrics?after=-1", headers=READER)).status_code == 400


async def test_every_bad_parameter_is_reported(client: Client) -> None:
    answer = await client.get("/train?status=done&limit=0&limt=1&limit=3", headers=READER)
    found = {(e["path"], e["code"]) for e in answer.json()["errors"]}
    assert answer.status_code == 400
    assert found == {
        ("query.status", "invalid_choice"),
        ("query.limit", "out_of_range"),
        ("query.limit", "duplicate_key"),
        ("query.limt", "unknown_field"),
    }


async def test_a_query_that_is_no_query(client: Client) -> None:
    for query in ("a=%ff", "&".join(f"a{n}=1" for n in range(100)), "metadata=x&metadata[a]=b"):
        answer = await client.get(f"/train?{query}", headers=READER)
        assert answer.status_code in (200, 400)
    assert (await client.get("/train?a=%ff", headers=READER)).status_code == 400


async def test_a_job_can_be_read_cancelled_and_forgotten(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a", status="failed"))
    assert (await client.get("/train/a", headers=READER)).json()["status"] == "failed"
    assert (await client.post("/train/a/cancel", headers=WRITER)).status_code == 200
    for noun in ("metrics", "checkpoints", "artifacts"):
        assert (await client.get(f"/train/a/{noun}", headers=READER)).status_code == 200
    forgotten = await client.delete("/train/a", headers=WRITER)
    assert (forgotten.status_code, forgotten.content) == (204, b"")
    assert (await client.get("/train/a", headers=READER)).json()["code"] == "job_not_found"


async def test_a_retry_takes_a_body_or_none(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a", status="failed"))
    assert (await client.post("/train/a/retry", headers=WRITER)).status_code == 200
    assert (await client.post("/train/a/retry", content=CANONICAL, headers=JSON)).status_code == 200
    assert jobs.calls == [("retry", "a", None), ("retry", "a", "unique-train-id")]
    assert (await client.post("/train/a/retry", content=b"{", headers=JSON)).status_code == 400


async def test_odd_job_ids_are_not_found(client: Client) -> None:
    for odd in ("%00", "..%2f..", "%ff", "a" * 3000, "%F0%9F%98%80"):
        answer = await client.get(f"/train/{odd}", headers=READER)
        assert answer.status_code == 404, odd


async def test_trouble_says_when_to_come_back(client: Client, jobs: FakeJobs) -> None:
    jobs.failure = TunegateError("unavailable", retry_after_s=2.2)
    answer = await client.post("/train", content=CANONICAL, headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    jobs.failure = TunegateError("rate_limited")
    answer = await client.post("/train", content=CANONICAL, headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")


async def test_a_mistake_of_ours_says_nothing_of_itself(client: Client, jobs: FakeJobs) -> None:
    jobs.failure = RuntimeError("canary in the message")
    answer = await client.post("/train", content=CANONICAL, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "canary" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_submissions_are_counted(client: Client) -> None:
    for body in (CANONICAL, CANONICAL, b"{}"):
        await client.post("/train", content=body, headers=JSON)
    text = (await client.get("/metrics", headers=READER)).text
    for outcome in ("created", "repeated", "refused"):
        assert f'tunegate_submissions_total{{outcome="{outcome}"}} 1.0' in text


async def test_answers_are_strict_json(client: Client) -> None:
    answer = await client.post("/train", content=CANONICAL, headers=JSON)
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["progress"] is None
