"""`make bench-trainer`: tokens per CPU-second of training, and the CPU time to the first optimizer step.

One thread each, interleaved, medians. The rate is a slope: (tokens of a long run minus those of a short one) over
(CPU of the long run minus that of the short one), so that start-up, data preparation and export cancel out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from tests.bench import chats, load, report

from tunegate.contract.training import (
    AdapterPlan,
    DataSource,
    ModelSource,
    OutputPlan,
    StoragePolicy,
    TrainingSpec,
    TuningPlan,
)

HERE = Path(__file__).parent
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
GOALS = {"trainer_padding": 3.0, "trainer_flattening": 1.7}
SHORT, LONG = 4, 24


def spec(home: Path, model: Path, data: Path, steps: int, job_id: str) -> TrainingSpec:
    """LoRA r=16 on all linear layers in fp32, the way the peers are run."""
    return TrainingSpec(
        job_id=job_id,
        method="lora",
        model=ModelSource(name=str(model), provider="custom"),
        datasets=[DataSource(source=str(data))],
        output=OutputPlan(output_uri=f"{home}/results/{job_id}/"),
        adapter=AdapterPlan(dropout=0.0),
        precision="fp32",
        tuning=TuningPlan(
            batch_size=8, max_steps=steps, num_epochs=100, lr_scheduler="constant", warmup_ratio=0.0,
            gradient_checkpointing=False, max_sequence_length=1024, held_out_fraction=0.0, logging_steps=1,
        ),
        storage=StoragePolicy(file_roots=[str(home)]),
        cpu_threads=1,
    )  # fmt: skip


def run(argv: list[str]) -> tuple[float, float, float, list[str]]:
    """CPU-s to the first step, CPU-s in all, peak memory in MB, and the lines printed."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ | THREADS)
    assert process.stdout is not None
    first, lines = 0.0, list[str]()
    for line in process.stdout:
        lines.append(line)
        if not first and "step 1" in line:
            first = load.cpu_seconds(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError("".join(lines[-20:]))
    return first, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, lines


def ours(
    home: Path, model: Path, data: Path, steps: int, number: int
) -> tuple[float, float, float, int]:
    job_id = f"ours-{number}-{steps}"
    job = home / job_id / "job.json"
    job.parent.mkdir()
    job.write_bytes(msgspec.json.encode(spec(home, model, data, steps, job_id)))
    first, cpu, memory, _ = run([sys.executable, "-m", "tunegate.trainer", str(job)])
    metrics = json.loads((home / "results" / job_id / "metrics.json").read_text())
    return first, cpu, memory, int(metrics["tokens"])


def theirs(model: Path, data: Path, steps: int, *flags: str) -> tuple[float, float, float, int]:
    script = str(HERE / "peer_transformers.py")
    first, cpu, memory, lines = run(
        [sys.executable, script, str(model), str(data), str(steps), *flags]
    )
    tokens = next(int(line.split()[1]) for line in lines if line.startswith("tokens "))
    return first, cpu, memory, tokens


def slope(
    short: tuple[float, float, float, int], long: tuple[float, float, float, int]
) -> dict[str, float]:
    return {
        "tokens_per_cpu_s": (long[3] - short[3]) / (long[1] - short[1]),
        "first_step_cpu_s": short[0],
        "peak_memory_mb": long[2],
    }


def main(rounds: int) -> None:
    measured: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model, data = chats.write_world(home / "world", 400, hidden=256, layers=4, vocab=4096)
        for number in range(rounds):
            results = {
                "tunegate": slope(
                    *(ours(home, model, data, steps, number) for steps in (SHORT, LONG))
                ),
                "trainer_padding": slope(*(theirs(model, data, steps) for steps in (SHORT, LONG))),
                "trainer_flattening": slope(
                    *(theirs(model, data, steps, "flatten") for steps in (SHORT, LONG))
                ),
            }
            measured.append(
                {f"{who}_{what}": v for who, one in results.items() for what, v in one.items()}
            )
    figures = report.medians(measured)
    ratios = {
        peer: figures["tunegate_tokens_per_cpu_s"] / figures[f"{peer}_tokens_per_cpu_s"]
        for peer in ("trainer_padding", "trainer_flattening")
    }
    report.write("trainer", figures, ratios, GOALS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
