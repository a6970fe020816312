"""SIGKILL at any moment: the training that goes on ends in the very bytes of the one that was never broken."""

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from faults.report import rounds, write
from faults.trainer.attempts import ENVIRONMENT, Zygote
from faults.trainer.campaign import Campaign
from faults.trainer.checker import Attempt
from faults.trainer.hooks import PLANTS
from support.trainer_bench import Bench, rows
from tunegate.contract.training import TrainingSpec
from tunegate.trainer.tiny import make_tiny_model

pytestmark = pytest.mark.slow
KILLS = rounds(3, 70)
"""Of each of the three jobs."""
KILLS_OF_ONE = rounds(3, 10)
"""At most so many of one training: then it is let through."""
NF4 = {"kind": "nf4", "compute_dtype": "float32"}
JOBS: dict[str, dict[str, Any]] = {
    "lora": {},
    "qlora": {"method": "qlora", "quantization": NF4},
    "full": {"method": "full", "adapter": None},
}
SEED = int(os.environ.get("TUNEGATE_FAULT_SEED", "11"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zygote() -> AsyncGenerator[Zygote]:
    async with Zygote() as running:
        yield running


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(folder, corpus=corpus, hidden=64, layers=2, vocab=400)
    return folder


def job(bench: Bench, kind: str, name: str) -> TrainingSpec:
    tuning = {"num_epochs": 2, "save_steps": 2}
    return bench.spec(f"{kind}-{name}", **({"tuning": tuning} | JOBS[kind]))


async def plain(bench: Bench, spec: TrainingSpec) -> bytes:
    """The weights that `python -m tunegate.trainer` makes of it, without hooks, store of ours or kills."""
    path = bench.folder / f"{spec.job_id}.json"
    path.write_bytes(msgspec.json.encode(spec))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tunegate.trainer", str(path)),
        stdout=asyncio.subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    assert await process.wait() == 0
    return next(bench.output(spec.job_id).glob("*.safetensors")).read_bytes()


@pytest.mark.asyncio(loop_scope="module")
async def test_kills_change_nothing(tiny: Path, tmp_path: Path, zygote: Zygote) -> None:
    bench, chance = Bench(tiny, tmp_path), random.Random(SEED)
    campaign = Campaign(bench, zygote, chance)
    kills: Counter[str] = Counter()
    by_job: Counter[str] = Counter()
    violations: list[str] = []
    torn = trainings = 0
    unbroken: dict[str, tuple[Path, Attempt]] = {}
    for kind in JOBS:
        output, attempt, found = await campaign.unbroken(job(bench, kind, "unbroken"))
        unbroken[kind] = (output, attempt)
        violations += found
        while by_job[kind] < KILLS and not violations:
            trainings += 1
            spec = job(bench, kind, f"killed-{trainings}")
            one = await campaign.killed(
                spec, unbroken[kind], min(KILLS_OF_ONE, KILLS - by_job[kind])
            )
            kills += one.kills
            by_job[kind] += one.kills.total()
            violations += one.violations
            torn += one.torn
    weights = next(unbroken["lora"][0].glob("*.safetensors")).read_bytes()
    assert weights == await plain(bench, job(bench, "lora", "plain"))
    caught: dict[str, bool] = {}
    for plant in list(PLANTS)[: rounds(1, len(PLANTS))]:
        caught[plant] = bool(
            await campaign.planted(job(bench, "lora", plant), unbroken["lora"], plant)
        )
    write(
        "trainer-resume", kills.total(), violations, planted_bug_caught=all(caught.values()),
        trainings=trainings, torn_checkpoints=torn, moments=kills, jobs=by_job, planted=caught, seed=SEED,
    )  # fmt: skip
    assert violations == []
    assert kills.total() >= 3 * KILLS
    assert all(caught.values()), caught
