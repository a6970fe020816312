"""The trainer as a process of its own: alone, with a small gateway, and ended by a signal."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.fake_gateway import TOKEN, FakeGateway
from support.trainer_bench import Bench, rows, write_rows
from tunegate.contract.attempt import CheckpointEvent, Manifest, PhaseEvent, SucceededEvent
from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy, TrainingSpec
from tunegate.sdk.testing.s3_server import S3Server
from tunegate.storage.s3 import S3Store
from tunegate.trainer.tiny import make_tiny_model

pytestmark = [pytest.mark.slow]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(folder, corpus=corpus, hidden=64, layers=2, vocab=400)
    return folder


@pytest.fixture
def alone(tiny: Path, tmp_path: Path) -> Bench:
    return Bench(tiny, tmp_path)


def lay_out(bench: Bench, spec: TrainingSpec) -> Path:
    folder = bench.folder / "run" / spec.job_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_bytes(msgspec.json.encode(spec))
    return folder / "job.json"


async def start(job: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tunegate.trainer", str(job), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=ENVIRONMENT,
    )


async def finish(process: asyncio.subprocess.Process) -> tuple[int, str]:
    out, _ = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def say(*arguments: str) -> Any:
    """What `tunegate.trainer.generate` prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tunegate.trainer.generate", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)


async def test_alone_from_start_to_answer(alone: Bench) -> None:
    spec = alone.spec("alone", tuning={"num_epochs": 4, "learning_rate": 1e-2})
    code, out = await finish(await start(lay_out(alone, spec)))
    assert code == 0, out
    assert "succeeded: loss on held-out rows went from" in out
    assert "Warning" not in out
    unseen = write_rows(alone.folder / "unseen.jsonl", 20, seed=5)
    question = rows(1, seed=5)[0]["messages"][0]["content"]
    before = await say(str(alone.base), "--eval", str(unseen), question)
    adapter = ["--adapter", str(alone.output("alone"))]
    after = await say(str(alone.base), *adapter, "--eval", str(unseen), question)
    assert after["loss"] < before["loss"] - 0.5
    assert len(after["answers"]) == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
async def test_a_signal_leaves_a_checkpoint_to_go_on_from(alone: Bench, name: str) -> None:
    spec = alone.spec("ended", tuning={"num_epochs": 400})
    job = lay_out(alone, spec)
    process = await start(job)
    assert process.stdout is not None
    async for line in process.stdout:
        if b"step 5/" in line:
            process.send_signal(getattr(signal, name))
            break
    code, out = await finish(process)
    assert code == 77, out
    assert "stopped: The run was asked to end; checkpoint of step" in out
    short = alone.spec("ended", tuning={"num_epochs": 400, "max_steps": None})
    process = await start(lay_out(alone, short))
    assert process.stdout is not None
    async for line in process.stdout:
        if b"goes on from the checkpoint of step" in line:
            break
    else:
        pytest.fail("it began anew")
    process.terminate()
    assert (await finish(process))[0] == 77


def with_ticket(job: Path, gateway: FakeGateway) -> Path:
    (job.parent / "attempt.json").write_bytes(msgspec.json.encode(gateway.ticket()))
    (job.parent / "token").write_text(TOKEN)
    (job.parent / "token").chmod(0o600)
    return job


async def test_with_a_gateway(alone: Bench) -> None:
    async with FakeGateway() as gateway:
        spec = alone.spec("claimed", tuning={"save_steps": 4})
        code, out = await finish(await start(with_ticket(lay_out(alone, spec), gateway)))
        assert code == 0, out
        assert TOKEN not in out
        events = gateway.events
    assert isinstance(events[0], PhaseEvent)
    assert any(isinstance(event, CheckpointEvent) for event in events)
    done = events[-1]
    assert isinstance(done, SucceededEvent)
    content = (alone.output("claimed") / "manifest.json").read_bytes()
    manifest = msgspec.json.decode(content, type=Manifest)
    assert (manifest.fence, manifest.attempt) == (7, 2)
    assert done.manifest_uri.endswith("/claimed/manifest.json")


async def test_the_loser_of_a_claim_leaves_at_once(alone: Bench) -> None:
    async with FakeGateway() as gateway:
        gateway.claimed_by = "somebody else"
        job = with_ticket(lay_out(alone, alone.spec("late")), gateway)
        code, out = await finish(await start(job))
    assert code == 78
    assert "preparing" not in out
    assert not alone.output("late").exists()


async def test_a_cancel_comes_with_a_receipt(alone: Bench) -> None:
    async with FakeGateway() as gateway:
        gateway.stop = "cancel"
        spec = alone.spec("cancelled", tuning={"num_epochs": 4000})
        code, out = await finish(await start(with_ticket(lay_out(alone, spec), gateway)))
    assert code == 77, out
    assert "stopped: The job was cancelled" in out
    assert gateway.events[-1].__class__.__name__ == "StoppedEvent"


async def test_a_job_file_that_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"job_id": "x"}')
    code, out = await finish(await start(tmp_path / "job.json"))
    assert code == 64
    assert "config_invalid" in out


@pytest.mark.s3
async def test_from_bucket_to_bucket(alone: Bench, s3_server: S3Server) -> None:
    """Base model, data and result in a real S3 server; a second run goes on from the first one's checkpoint."""
    bucket = "standalone-trainer"
    s3_server.create_bucket(bucket)
    storage = StoragePolicy(
        s3_endpoint_url=s3_server.endpoint_url, s3_path_style=True, allow_private_addresses=True
    )
    keys = {
        "aws_access_key_id": s3_server.access_key,
        "aws_secret_access_key": s3_server.secret_key,
    }
    auth = msgspec.convert({name: Secret(value) for name, value in keys.items()}, Auth)
    async with S3Store(storage, auth) as store:
        for path in alone.base.iterdir():
            await store.upload(path, f"s3://{bucket}/base/{path.name}")
        await store.upload(alone.data, f"s3://{bucket}/data/rows.jsonl")
        spec = alone.spec(
            "bucket",
            model={"name": f"s3://{bucket}/base", "provider": "custom"},
            datasets=[{"source": f"s3://{bucket}/data/rows.jsonl"}],
            output={
                "output_uri": f"s3://{bucket}/out/bucket/", "log_uri": f"s3://{bucket}/logs/bucket/",
            },
            storage=msgspec.to_builtins(storage),
            tuning={"save_steps": 4},
        )  # fmt: skip
        job = lay_out(alone, spec)
        secrets = job.parent / "secrets.json"
        secrets.write_text(json.dumps({"artifacts": keys, "datasets": [keys]}))
        for resumed_at in ([], [4]):
            code, out = await finish(await start(job, "--secrets", str(secrets)))
            assert code == 0, out
            assert s3_server.secret_key not in out
            record = json.loads(await store.read(f"s3://{bucket}/out/bucket/training.json"))
            assert record["resumed_at"] == resumed_at
        content = await store.read(f"s3://{bucket}/out/bucket/manifest.json")
        for file in msgspec.json.decode(content, type=Manifest).files:
            stored = await store.read(f"s3://{bucket}/out/bucket/{file.path}")
            assert hashlib.sha256(stored).hexdigest() == file.sha256
        names = {info.uri async for info in store.list(f"s3://{bucket}/logs/bucket/")}
        assert f"s3://{bucket}/logs/bucket/train.log" in names
