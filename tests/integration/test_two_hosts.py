"""Two hosts train one job: each has a network, a name and processes of its own, and there is a cable between them."""

import sys
from pathlib import Path

import msgspec
import pytest

from integration.test_processes import METHODS, ROUNDING, curve
from integration.test_processes import train as train_here
from support.trainer_bench import Bench, rows
from support.two_hosts import run_on_both, why_not
from tunegate.contract.training import PROCESSES, TrainingSpec
from tunegate.trainer.tiny import make_tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]
TUNING = {"batch_size": 8, "max_steps": 6, "eval_steps": 3, "save_steps": 3}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(tmp_path / "tiny", corpus=corpus, hidden=64, layers=2, vocab=400)
    return Bench(tmp_path / "tiny", tmp_path)


async def train(bench: Bench, spec: TrainingSpec, processes: int) -> tuple[int, str, int]:
    """On two hosts that share a disk, so many processes on each."""
    folder = bench.folder / "run" / spec.job_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_bytes(msgspec.json.encode(spec))
    argv = (sys.executable, "-m", "tunegate.trainer", str(folder / "job.json"))
    env = {"OMP_NUM_THREADS": "1", PROCESSES: str(processes)}
    return await run_on_both(bench.folder / "hosts", argv, env, 180)


@pytest.mark.parametrize(("method", "processes"), [("lora", 1), ("full", 2)])
async def test_two_hosts_learn_what_one_process_learns(
    bench: Bench, method: str, processes: int
) -> None:
    await train_here(bench, bench.spec("one", tuning=TUNING, **METHODS[method]), 1)
    spec = bench.spec("two", tuning=TUNING, **METHODS[method])
    code, said, sent = await train(bench, spec, processes)
    assert code == 0, said
    expected, found = curve(bench, "one"), curve(bench, "two")
    assert [step for step, _ in found] == [step for step, _ in expected]
    for (_, left), (_, right) in zip(expected, found, strict=True):
        assert right == pytest.approx(left, rel=ROUNDING, abs=1e-6)
    assert sent > 50_000, "the gradients went another way"
