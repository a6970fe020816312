"""A program around Hugging Face's Trainer, which knows nothing of tunegate, reports progress and succeeds."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.api import Api
from tunegate.sdk.testing.gateway_process import GatewayProcess

pytestmark = pytest.mark.slow
PLUGIN = Path(__file__).parent / "hf_program"


def install(folder: Path) -> None:
    """What pip leaves behind of a plugin: its metadata, whose entry point is found on the path."""
    info = folder / "hf_program-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hf-program\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[tunegate.backends]\nhf-program = hf_program:ProgramBackend\n"
    )


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncGenerator[GatewayProcess]:
    install(tmp_path / "site")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(PLUGIN)])}
    async with GatewayProcess(tmp_path / "gateway", None, environment=environment) as running:
        yield running


@pytest_asyncio.fixture
async def api(gateway: GatewayProcess) -> AsyncGenerator[Api]:
    async with Api(gateway.url, gateway.token) as client:
        yield client


def request(gateway: GatewayProcess, job_id: str, **extra: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "backend": "hf-program",
        "base_model": {"provider": "huggingface", "model_name": "org/tiny"},
        "customization": {"method": "full"},
        "resources": {"gpus": 0, "cpus": 1, "memory_gb": 1},
        "datasets": [{"source": f"file://{gateway.home}/none.jsonl", "format": "jsonl"}],
        "artifacts": {"output_uri": f"file://{gateway.home}/results"},
        "extra_parameters": extra,
    }


async def test_it_reports_and_succeeds(gateway: GatewayProcess, api: Api) -> None:
    await api.submit(request(gateway, "foreign"))
    job = await api.wait("foreign")
    assert job["status"] == "succeeded", job
    progress = job["progress"]
    assert (progress["step"], progress["total_steps"], progress["percent"]) == (60, 60, 100.0)
    events = await api.events("foreign")
    told = [event["data"]["step"] for event in events if event["type"] == "job.progress"]
    assert told[0] == 0
    assert told[-1] == 60
    assert any(0 < step < 60 for step in told), "nothing was heard while it trained"
    _, metrics = await api.call("GET", "/train/foreign/metrics")
    losses = [point["values"]["loss"] for point in metrics["data"] if "loss" in point["values"]]
    assert losses[-1] < losses[0]
    assert progress["loss"] == losses[-1]
    _, artifacts = await api.call("GET", "/train/foreign/artifacts")
    names = {file["path"]: file for file in artifacts["data"]}
    assert names["model.safetensors"]["size_bytes"] > 0
    assert names["model.safetensors"]["sha256"] is None
    assert "KUBEFLOW" not in (await api.call("GET", "/train/foreign/logs"))[1]


async def test_its_exit_code_is_its_word(gateway: GatewayProcess, api: Api) -> None:
    await api.submit(request(gateway, "fails", steps=1, exit_code=3))
    job = await api.wait("fails")
    assert (job["status"], job["error"]["code"]) == ("failed", "program_failed")
