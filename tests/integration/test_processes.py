"""One training in several processes of this machine, over gloo: the numbers of one process, whatever happens to a rank."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.api import Api
from support.bucket import BASE, DATA, open_bucket
from support.fake_gateway import TOKEN, FakeGateway
from support.trainer_bench import Bench, rows
from support.world import BUCKET, request
from tunegate.contract.attempt import ClaimGrant
from tunegate.contract.secret import Secret
from tunegate.contract.training import PROCESSES, TrainerSecrets, TrainingSpec
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server
from tunegate.trainer.tiny import make_tiny_model

pytestmark = pytest.mark.slow
NF4 = {"kind": "nf4", "compute_dtype": "float32"}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"adapter": {"dropout": 0.0, "rank": 8}},
    "full": {"method": "full", "adapter": None},
    "qlora": {"method": "qlora", "quantization": NF4, "adapter": {"dropout": 0.0, "rank": 8}},
}
SOON_S = 60.0
ROUNDING = 1e-5
"""Sums in another order, over a few steps of fp32."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(folder, corpus=corpus, hidden=64, layers=2, vocab=400)
    return folder


@pytest.fixture
def bench(tiny: Path, tmp_path: Path) -> Bench:
    return Bench(tiny, tmp_path)


async def start(bench: Bench, spec: TrainingSpec, processes: int) -> asyncio.subprocess.Process:
    folder = bench.folder / "run" / spec.job_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_bytes(msgspec.json.encode(spec))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tunegate.trainer", str(folder / "job.json")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1", PROCESSES: str(processes)},
    )


async def finish(process: asyncio.subprocess.Process) -> tuple[int, str]:
    out, _ = await asyncio.wait_for(process.communicate(), 3 * SOON_S)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def train(bench: Bench, spec: TrainingSpec, processes: int) -> None:
    code, out = await finish(await start(bench, spec, processes))
    assert code == 0, out


async def until_said(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    said: list[str] = []
    async for line in process.stdout:
        said.append(line.decode())
        if word in said[-1]:
            return
    pytest.fail("".join(said))


def rank_of(job: str, rank: int) -> int:
    """The process id of a rank of this job."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            env = (entry / "environ").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if any(f"/{job}/job.json" in part for part in command) and f"RANK={rank}" in env:
            return int(entry.name)
    raise AssertionError(f"no rank {rank} of {job}")


def curve(bench: Bench, job_id: str) -> list[tuple[int, dict[str, float]]]:
    """Losses and norms, step by step, without what hangs on the clock."""
    return [
        (event["step"], {k: v for k, v in event["values"].items() if k != "tokens_per_s"})
        for event in bench.events(job_id)
        if event["kind"] == "metrics"
    ]


def worst(bench: Bench, job_id: str) -> set[str]:
    lines = (bench.output(job_id) / "worst_rows.jsonl").read_text().splitlines()
    return {json.loads(line)["row"] for line in lines}


def write_pairs(path: Path) -> Path:
    """A better and a worse answer to each question."""
    pairs: list[dict[str, str]] = []
    for row in rows(20):
        question, answer = (message["content"] for message in row["messages"])
        pairs.append({"prompt": question, "chosen": answer, "rejected": "I do not know."})
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return path


def weights(bench: Bench, job_id: str) -> bytes:
    return next(bench.output(job_id).glob("*.safetensors")).read_bytes()


@pytest.mark.parametrize(("method", "processes"), [("lora", 2), ("qlora", 2), ("full", 4)])
async def test_the_curve_is_that_of_one_process(bench: Bench, method: str, processes: int) -> None:
    """The last step of an epoch has fewer rows than four processes: some have none. QLoRA learns preferences here."""
    tuning = {"batch_size": 9, "max_steps": 8, "eval_steps": 4, "save_steps": 3}
    fields = METHODS[method]
    if method == "qlora":
        fields = fields | {"datasets": [{"source": str(write_pairs(bench.folder / "pairs.jsonl"))}]}
        tuning |= {"max_steps": 4, "learning_rate": 1e-3}
    await train(bench, bench.spec("one", tuning=tuning, **fields), 1)
    await train(bench, bench.spec("several", tuning=tuning, **fields), processes)
    expected, found = curve(bench, "one"), curve(bench, "several")
    assert [step for step, _ in found] == [step for step, _ in expected]
    for (_, left), (_, right) in zip(expected, found, strict=True):
        assert right == pytest.approx(left, rel=ROUNDING, abs=1e-6)
    assert worst(bench, "one") == worst(bench, "several")
    assert bench.metrics("one")["tokens"] == bench.metrics("several")["tokens"]


@pytest.mark.parametrize("victim", [0, 1])
async def test_a_rank_that_is_killed_ends_the_job_by_its_name(bench: Bench, victim: int) -> None:
    spec = bench.spec("killed", tuning={"num_epochs": 4000}, **METHODS["full"])
    process = await start(bench, spec, 2)
    await until_said(process, "step 3/")
    other = rank_of("killed", 1 - victim)
    os.kill(rank_of("killed", victim), signal.SIGKILL)
    code, out = await asyncio.wait_for(finish(process), SOON_S)
    assert code == 84, out
    assert f"rank_lost: rank {victim}: died" in out or "failed (rank_lost): rank 1: died" in out
    assert not Path(f"/proc/{other}").exists()


async def test_goes_on_in_another_number_of_processes(bench: Bench) -> None:
    """Asked to end through one rank, in two processes; taken up by one."""
    spec = bench.spec("stopped", tuning={"num_epochs": 4000}, **METHODS["full"])
    process = await start(bench, spec, 2)
    await until_said(process, "step 3/")
    os.kill(rank_of("stopped", 1), signal.SIGTERM)
    code, out = await finish(process)
    assert code == 77, out
    assert "The run was asked to end; checkpoint of step" in out
    process = await start(bench, spec, 1)
    await until_said(process, "goes on from the checkpoint of step")
    await until_said(process, "loss")
    process.terminate()
    assert (await finish(process))[0] == 77


async def test_a_stop_changes_no_bit(bench: Bench) -> None:
    """The same number of processes, dropout on: what was stopped and went on ends in the bytes of what never was."""
    tuning = {"max_steps": 40, "save_steps": 5}
    unbroken, broken = bench.spec("unbroken", tuning=tuning), bench.spec("broken", tuning=tuning)
    await train(bench, unbroken, 2)
    process = await start(bench, broken, 2)
    await until_said(process, "step 4/")
    process.terminate()
    assert (await finish(process))[0] == 77
    await train(bench, broken, 2)
    assert bench.metrics("broken")["loss"] == bench.metrics("unbroken")["loss"]
    assert weights(bench, "broken") == weights(bench, "unbroken")


async def test_one_claim_and_its_secrets_for_all(bench: Bench) -> None:
    """The others hear of the secrets from rank 0, and of a claim that was lost."""
    secret = "hf_secret_of_the_test"
    async with FakeGateway() as gateway:
        grant = gateway.grant
        gateway.grant = ClaimGrant(
            fence=grant.fence, attempt=grant.attempt, resume=False,
            remaining_s=grant.remaining_s, secrets=TrainerSecrets(hub_token=Secret(secret)),
        )  # fmt: skip
        for job_id, expected in (("won", 0), ("lost", 78)):
            spec = bench.spec(job_id, tuning={"max_steps": 2}, **METHODS["lora"])
            folder = bench.folder / "run" / job_id
            folder.mkdir(parents=True)
            (folder / "attempt.json").write_bytes(msgspec.json.encode(gateway.ticket()))
            (folder / "token").write_text(TOKEN)
            code, out = await finish(await start(bench, spec, 2))
            assert code == expected, out
            assert secret not in out
            written = [path for path in bench.folder.rglob("*") if path.is_file()]
            assert not [path for path in written if secret.encode() in path.read_bytes()]
            gateway.claimed_by = "somebody else"


async def result_of(world: S3Server, job_id: str, name: str) -> bytes:
    async with open_bucket(world) as store:
        return await store.read(f"s3://{BUCKET}/results/{job_id}/{name}")


@pytest.mark.s3
async def test_a_job_through_the_gateway(world: S3Server, tmp_path: Path) -> None:
    """The local launcher starts two processes; one job, one claim, one result."""
    home = tmp_path / "gateway"
    environment = {"OMP_NUM_THREADS": "2", "TUNEGATE_LAUNCHERS__LOCAL__PROCESSES": "2"}
    gateway = GatewayProcess(home, world, environment=environment)
    async with gateway, Api(gateway.url, gateway.token) as api:
        body = request("two", "full", world.role_arn, base=BASE, data=DATA, num_epochs=1)
        await api.submit(body)
        job = await api.wait("two")
        assert job["status"] == "succeeded", job
        record = json.loads(await result_of(world, "two", "training.json"))
        assert record["processes"] == 2
        _, artifacts = await api.call("GET", "/train/two/artifacts")
        assert artifacts["complete"]
        _, metrics = await api.call("GET", "/train/two/metrics")
        steps = [p["step"] for p in metrics["data"] if "loss" in p["values"]]
        assert steps == sorted(set(steps))
