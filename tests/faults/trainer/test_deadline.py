"""A job that uses up its time, through a real gateway and S3 server: it fails by name, and a retry goes on from there."""

import json
from pathlib import Path

import pytest

from faults.report import rounds
from support.api import Api
from support.bucket import BASE, DATA, open_bucket
from support.trainer_bench import rows as base_rows
from support.world import BUCKET, jsonl, request, rows
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server
from tunegate.trainer.tiny import make_tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.s3,
    pytest.mark.skipif(rounds(0, 1) == 0, reason="takes the shortest max_duration, a minute"),
]
EPOCHS = 1000
"""More than a minute's: four steps each."""


async def test_the_deadline_leaves_what_a_retry_goes_on_from(
    s3_server: S3Server, tmp_path: Path
) -> None:
    s3_server.create_bucket(BUCKET)
    corpus = [m["content"] for row in [*rows(200), *base_rows(50)] for m in row["messages"]]
    make_tiny_model(tmp_path / "base", corpus=corpus, hidden=64, layers=2, vocab=384)
    async with open_bucket(s3_server) as store:
        for path in sorted((tmp_path / "base").iterdir()):
            await store.upload(path, BASE + path.name)
        await store.write(DATA, jsonl(rows(64)))
    body = request("late", "lora", s3_server.role_arn, base=BASE, data=DATA, num_epochs=EPOCHS)
    body["resources"] = body.get("resources", {}) | {"max_duration_minutes": 1}
    async with (
        GatewayProcess(
            tmp_path / "gateway", s3_server, environment={"OMP_NUM_THREADS": "1"}
        ) as gateway,
        Api(gateway.url, gateway.token) as api,
    ):
        await api.submit(body)
        job = await api.wait("late", timeout_s=240)
        assert (job["status"], job["error"]["code"]) == ("failed", "deadline_exceeded"), job
        assert job["attempt"] == 1
        async with open_bucket(s3_server) as store:
            prefix = f"s3://{BUCKET}/results/late/checkpoints/"
            names = [info.uri async for info in store.list(prefix)]
        steps = [int(n.split("/")[-2][5:]) for n in names if n.endswith("/complete.json")]
        assert steps
        body["resources"]["max_duration_minutes"] = 60
        status, answer = await api.call("POST", "/train/late/retry", json=body)
        assert status < 300, answer
        await api.wait("late", status={"running"})
        job = await api.wait("late", timeout_s=600)
        assert job["status"] == "succeeded", job
        async with open_bucket(s3_server) as store:
            record = json.loads(await store.read(f"s3://{BUCKET}/results/late/training.json"))
        assert record["resumed_at"] == [max(steps)]
