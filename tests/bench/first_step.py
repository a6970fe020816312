"""`make bench-first-step`: from `POST /train` to the `201`, to the trainer's claim, and to its first optimizer step.

The whole way on this machine: gateway, launcher, a fresh trainer process, S3, a 5M Llama, LoRA.
"""

import argparse
import asyncio
import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from tests.bench import chats, report

from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server
from tunegate.storage.s3 import S3Store

BUCKET = "bench"


async def upload(s3: S3Server, model: Path, data: Path) -> None:
    policy = StoragePolicy(
        s3_endpoint_url=s3.endpoint_url, s3_path_style=True, allow_private_addresses=True
    )
    auth = Auth(
        aws_access_key_id=Secret(s3.access_key), aws_secret_access_key=Secret(s3.secret_key)
    )
    async with S3Store(policy, auth) as store:
        await store.upload(data, f"s3://{BUCKET}/chats.jsonl")
        for path in sorted(model.iterdir()):
            await store.upload(path, f"s3://{BUCKET}/model/{path.name}")


def body(job_id: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "base_model": {"provider": "custom", "model_name": f"s3://{BUCKET}/model/"},
        "customization": {"method": "lora", "precision": "fp32"},
        "resources": {"gpus": 0, "cpus": 1, "memory_gb": 4},
        "datasets": [{"source": f"s3://{BUCKET}/chats.jsonl", "format": "auto"}],
        "artifacts": {"output_uri": f"s3://{BUCKET}/results/"},
        "tuning_parameters": {
            "batch_size": 8,
            "max_steps": 2,
            "max_sequence_length": 1024,
            "logging_steps": 1,
        },
    }


async def one_job(session: aiohttp.ClientSession, job_id: str) -> dict[str, float]:
    """Seconds on the clock of this machine, which client, gateway and trainer share."""
    posted, started = time.time(), time.perf_counter()
    async with session.post("/train", json=body(job_id)) as answer:
        await answer.read()
        accepted_s = time.perf_counter() - started
        assert answer.status == 201
    found: dict[str, float] = {"post_to_201_ms": accepted_s * 1000}
    async with session.get(
        f"/train/{job_id}/events", headers={"Accept": "text/event-stream"}
    ) as events:
        async for line in events.content:
            if not line.startswith(b"data:"):
                continue
            event = json.loads(line[5:])
            seconds = datetime.fromisoformat(event["timestamp"]).timestamp() - posted
            if event["status"] == "running":
                found.setdefault("post_to_running_s", seconds)
            if event["type"] == "job.metrics" and "loss" in event["data"].get(
                "values", event["data"]
            ):
                found.setdefault("post_to_first_step_s", seconds)
    return found


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, S3Server(Path(folder) / "s3") as s3:
        home = Path(folder)
        model, data = chats.write_world(home / "world", 64, hidden=256, layers=4, vocab=4096)
        s3.create_bucket(BUCKET)
        await upload(s3, model, data)
        async with GatewayProcess(
            home / "gateway", s3, environment={"OMP_NUM_THREADS": "1"}
        ) as gateway:
            headers = {"Authorization": f"Bearer {gateway.token}"}
            async with aiohttp.ClientSession(gateway.url, headers=headers) as session:
                measured = [await one_job(session, f"first-step-{n}") for n in range(rounds)]
    report.write("first_step", report.medians(measured), {}, {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args().rounds))
