"""The real gateway on a real socket, with its store, its loops and the echo backend as a real process."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.server import listen, serving
from tunegate.gateway import Gateway
from tunegate.settings import load

CANARY = "c4n4ry-of-this-test"
TOKEN = {"Authorization": "Bearer token-of-this-test"}
Door = Callable[[], AbstractAsyncContextManager[aiohttp.ClientSession]]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """Opens the gateway over the same state folder again and again."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[aiohttp.ClientSession]:
        listener = listen()
        config = tmp_path / "gateway.toml"
        config.write_text(f"""
            state_dir = "{tmp_path / "state"}"
            [server]
            port = {listener.getsockname()[1]}
            access_log = false
            [control]
            poll_interval_s = 0.05
            [storage]
            file_roots = ["{tmp_path}"]
        """)
        settings, tokens = load(config, {"TRAINER_API_TOKEN": TOKEN["Authorization"].split()[1]})
        async with (
            serving(Gateway(settings, tokens).app, listener) as url,
            aiohttp.ClientSession(url, headers=TOKEN, timeout=aiohttp.ClientTimeout(60)) as session,
        ):
            yield session

    return opened


@pytest.fixture
def request_body(tmp_path: Path) -> dict[str, Any]:
    return {
        "job_id": "job-1",
        "backend": "echo",
        "base_model": {"provider": "huggingface", "model_name": "a/b", "auth_token": CANARY},
        "customization": {"method": "lora", "rank": None},
        "resources": {"gpus": 0, "cpus": 1, "memory_gb": 1, "max_duration_minutes": 5},
        "datasets": [{"source": f"file://{tmp_path}/rows.jsonl", "format": "auto"}],
        "artifacts": {"output_uri": f"file://{tmp_path}/out"},
        "extra_parameters": {"steps": 2},
        "metadata": {"team": "a"},
    }


async def events_of(
    session: aiohttp.ClientSession, job_id: str, **headers: str
) -> list[dict[str, Any]]:
    """All events of a job until its stream ends."""
    async with session.get(f"/train/{job_id}/events", headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        text = (await answer.read()).decode()
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


async def ask(
    session: aiohttp.ClientSession, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    async with session.request(method, path, json=body) as answer:
        return answer.status, await answer.json(content_type=None) if answer.status != 204 else None


async def test_a_job_from_201_to_its_result(
    door: Door, request_body: dict[str, Any], tmp_path: Path
) -> None:
    async with door() as session:
        status, created = await ask(session, "POST", "/train", request_body)
        assert status == 201, created
        assert created["status"] == "queued"

        events = await events_of(session, "job-1")
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        statuses = [e["status"] for e in events if e["type"] == "job.status"]
        assert list(dict.fromkeys(statuses)) == ["queued", "running", "succeeded"]
        rest = await events_of(session, "job-1", **{"Last-Event-ID": str(len(events) - 1)})
        assert rest == events[-1:]

        status, job = await ask(session, "GET", "/train/job-1")
        assert (job["status"], job["error"], job["progress"]["step"]) == ("succeeded", None, 2)
        _, metrics = await ask(session, "GET", "/train/job-1/metrics")
        assert [point["values"]["loss"] for point in metrics["data"]] == [1.0, 0.5]
        _, artifacts = await ask(session, "GET", "/train/job-1/artifacts")
        assert artifacts["complete"] is True
        async with session.get("/train/job-1/logs") as answer:
            assert "step 2 of 2" in await answer.text()

    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file


async def test_jobs_outlive_the_gateway(door: Door, request_body: dict[str, Any]) -> None:
    async with door() as session:
        await ask(session, "POST", "/train", request_body)
        await events_of(session, "job-1")
    async with door() as session:
        assert (await ask(session, "POST", "/train", request_body))[0] == 200
        request_body["base_model"]["auth_token"] = "another"
        status, problem = await ask(session, "POST", "/train", request_body)
        assert (status, problem["code"]) == (409, "job_conflict")
        _, page = await ask(session, "GET", "/train?metadata[team]=a&status=succeeded")
        assert [job["job_id"] for job in page["data"]] == ["job-1"]
        status, job = await ask(session, "POST", "/train/job-1/cancel")
        assert (status, job["status"]) == (200, "succeeded")
        assert (await ask(session, "DELETE", "/train/job-1"))[0] == 204
        assert (await ask(session, "GET", "/train/job-1"))[0] == 404


async def test_a_running_job_can_be_cancelled(door: Door, request_body: dict[str, Any]) -> None:
    request_body["extra_parameters"] = {"steps": 10_000, "seconds_per_step": 0.02}
    async with door() as session:
        await ask(session, "POST", "/train", request_body)
        async with session.get("/train/job-1/events") as answer:
            async for line in answer.content:
                if line.startswith(b"data: ") and json.loads(line[6:])["phase"] == "training":
                    break
        assert (await ask(session, "DELETE", "/train/job-1"))[0] == 409
        assert (await ask(session, "POST", "/train/job-1/cancel"))[0] == 200
        assert (await events_of(session, "job-1"))[-1]["status"] == "cancelled"


async def test_a_dry_run_and_bad_jobs_store_nothing(
    door: Door, request_body: dict[str, Any]
) -> None:
    async with door() as session:
        status, shown = await ask(session, "POST", "/train?dry_run=true", request_body)
        assert status == 200, shown
        assert shown["container"]["command"][-1] == "{files}/job.json"
        assert CANARY not in json.dumps(shown)
        request_body |= {"extra_parameters": {"stepz": 1}, "resources": {"gpus": 999}}
        status, problem = await ask(session, "POST", "/train", request_body)
        assert (status, problem["code"]) == (422, "invalid_job")
        assert "$.extra_parameters.stepz" in [error["path"] for error in problem["errors"]]
        assert (await ask(session, "GET", "/train"))[1] == {"data": [], "has_more": False}


async def test_what_is_installed_is_listed(door: Door) -> None:
    async with door() as session:
        for noun, name in (("backends", "echo"), ("launchers", "local")):
            _, listed = await ask(session, "GET", f"/{noun}")
            assert next(entry for entry in listed["data"] if entry["name"] == name)["loaded"]
        assert (await ask(session, "GET", "/readyz"))[0] == 200
        async with session.get("/metrics") as answer:
            assert 'tunegate_jobs{state="running"} 0.0' in await answer.text()
