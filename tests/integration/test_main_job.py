"""The main job, as a user runs it: full, then lora and qlora on top, judged with plain transformers and peft."""

import asyncio
import hashlib
import json
import sys
from pathlib import Path

import pytest

from support.api import Api
from support.bucket import BASE, DATA, open_bucket
from support.world import BUCKET, jsonl, request, rows
from tunegate.sdk.testing.receiver import webhook_receiver
from tunegate.sdk.testing.s3_server import S3Server

pytestmark = pytest.mark.slow
PLAIN_LOSS = str(Path(__file__).parents[1] / "support" / "plain_loss.py")


async def plain_loss(model: Path, held_out: Path, *adapter: Path) -> float:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, PLAIN_LOSS, str(model), str(held_out), *(str(a) for a in adapter)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return float(out)


async def fetch(world: S3Server, job_id: str, target: Path) -> dict[str, object]:
    """Bring a result home and hold every file against the manifest."""
    prefix = f"s3://{BUCKET}/results/{job_id}/"
    async with open_bucket(world) as store:
        manifest = json.loads(await store.read(prefix + "manifest.json"))
        for file in manifest["files"]:
            info = await store.download(prefix + file["path"], target / file["path"])
            assert info.size_bytes == file["size_bytes"]
            digest = hashlib.sha256((target / file["path"]).read_bytes()).hexdigest()
            assert digest == file["sha256"], file["path"]
    return manifest


async def test_full_then_lora_and_qlora(
    world: S3Server, api: Api, base_model: Path, tmp_path: Path
) -> None:
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_bytes(jsonl(rows(40, seed=99)))
    losses = {"base": await plain_loss(base_model, held_out)}
    async with webhook_receiver(authorization="Bearer mytoken") as receiver:
        base = BASE
        for method in ("full", "lora", "qlora"):
            job_id = f"main-{method}"
            body = request(
                job_id,
                method,
                world.role_arn,
                base=base,
                data=DATA,
                num_epochs=4 if method == "full" else 3,
            )
            body["callbacks"] = {"webhook_url": receiver.url, "auth_header": "Bearer mytoken"}
            await api.submit(body)
            job = await api.wait(job_id)
            assert job["status"] == "succeeded", job
            manifest = await fetch(world, job_id, tmp_path / method)
            assert manifest["job_id"] == job_id
            await receiver.wait_for(job_id, "succeeded")
            assert receiver.statuses(job_id)[0] == "queued"
            assert receiver.statuses(job_id)[-1] == "succeeded"
            if method == "full":
                base = f"s3://{BUCKET}/results/{job_id}/"
                losses["full"] = await plain_loss(tmp_path / "full", held_out)
            else:
                losses[method] = await plain_loss(tmp_path / "full", held_out, tmp_path / method)
        sequences = [
            one.body.sequence for one in receiver.received if one.body.job_id == "main-lora"
        ]
        assert sequences == sorted(set(sequences))
    assert losses["full"] < losses["base"] - 0.5, losses
    assert losses["lora"] < losses["full"], losses
    assert losses["qlora"] < losses["full"], losses


async def test_what_a_finished_job_shows(world: S3Server, api: Api) -> None:
    body = request("shown", "lora", world.role_arn, base=BASE, data=DATA, num_epochs=1)
    await api.submit(body)
    job = await api.wait("shown")
    assert job["status"] == "succeeded", job
    ignored = {entry["path"] for entry in job["ignored"]}
    assert "$.resources.gpus" in ignored
    _, again = await api.call("POST", "/train", json=body)
    assert again["backend_job_id"] == job["backend_job_id"]
    status, conflict = await api.call("POST", "/train", json=body | {"metadata": {"other": "body"}})
    assert (status, conflict["code"]) == (409, "job_conflict")
    _, metrics = await api.call("GET", "/train/shown/metrics")
    losses = [point["values"]["loss"] for point in metrics["data"] if "loss" in point["values"]]
    assert losses
    assert losses[-1] < losses[0]
    _, artifacts = await api.call("GET", "/train/shown/artifacts")
    assert artifacts["complete"]
    names = {file["path"] for file in artifacts["data"]}
    assert {
        "adapter_model.safetensors",
        "adapter_config.json",
        "README.md",
        "training.json",
        "metrics.json",
    } <= names
    _, log = await api.call("GET", "/train/shown/logs")
    assert "step" in log
    events = await api.events("shown")
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["status"] == "succeeded"
