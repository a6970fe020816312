"""Trainings under a hard limit of memory, each a process of its own."""

import asyncio
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.trainer_bench import Bench, rows, write_rows
from tunegate.contract.training import TrainingSpec
from tunegate.trainer.tiny import make_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
MB = 2**20
WIDE = {"batch_size": 256, "micro_batch_size": 256, "max_sequence_length": 128, "max_steps": 3}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(tmp_path / "base", corpus=corpus, hidden=128, layers=4, vocab=400)
    found = Bench(tmp_path / "base", tmp_path)
    write_rows(found.data, 600)
    return found


def job(bench: Bench, job_id: str, **tuning: Any) -> TrainingSpec:
    return bench.spec(job_id, adapter={"dropout": 0.0}, tuning=WIDE | tuning)


async def run(bench: Bench, spec: TrainingSpec, room: int | None, when: str) -> tuple[int, str]:
    """A training whose steps may take `room` bytes more than it has when it says `when`.

    The limit counts the heap with its holes, which no container's limit does: what comes after the steps would find it
    reached although the memory was given back.
    """
    folder = bench.folder / "run" / spec.job_id
    folder.mkdir(parents=True)
    (folder / "job.json").write_bytes(msgspec.json.encode(spec))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tunegate.trainer", str(folder / "job.json")),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []
    async for line in process.stdout:
        said.append(line.decode())
        if room is not None and when in said[-1]:
            _limit(process.pid, room)
        if " saving: " in said[-1]:
            _limit(process.pid, None)
    return await process.wait(), "".join(said)


def _limit(pid: int, room: int | None) -> None:
    status = Path(f"/proc/{pid}/status").read_text()
    taken = int(status.split("VmData:")[1].split()[0]) * 1024
    _, most = resource.prlimit(pid, resource.RLIMIT_DATA)
    allowed = most if room is None else taken + room
    resource.prlimit(pid, resource.RLIMIT_DATA, (allowed, most))


async def test_it_halves_and_learns_the_same(bench: Bench) -> None:
    code, out = await run(bench, job(bench, "free"), None, "")
    assert code == 0, out
    assert "did not suffice" not in out
    code, out = await run(bench, job(bench, "limited"), 150 * MB, " training: ")
    assert code == 0, out
    assert "the memory did not suffice; forward passes have at most" in out
    free, limited = bench.metrics("free"), bench.metrics("limited")
    assert limited["loss"] == pytest.approx(free["loss"], rel=1e-5)
    assert limited["eval_loss"] == pytest.approx(free["eval_loss"], rel=1e-4)


async def test_what_is_foreseen_not_to_fit_is_not_tried(bench: Bench) -> None:
    code, out = await run(bench, job(bench, "foreseen"), 700 * MB, "loading the base model")
    assert code == 0, out
    assert "more are not foreseen to fit into the memory" in out


async def test_what_can_not_fit_ends_with_its_code(bench: Bench) -> None:
    long = {"text": "The car 7 is red. " * 400}
    bench.data.write_text((json.dumps(long) + "\n") * 8)
    spec = job(bench, "hopeless", max_sequence_length=3000, train_on="all")
    code, out = await run(bench, spec, 60 * MB, " training: ")
    assert code == 74, out
    assert "failed (out_of_memory)" in out
