"""`make bench-memory`: peak memory of real trainings beside what was predicted before their first step.

The peak is the process's own high-water mark (VmHWM), set back when the first step begins and read after the last but
one, so that loading and export do not count. The prediction is the one that the trainer makes and says at its start.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from tests.bench import chats, report

from tunegate.contract.training import TrainingSpec

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
STEPS = 4
STEP = re.compile(r"step (\d+)/\d+,")
PREDICTED = re.compile(r"memory: about ([\d.]+) MB")
GOALS = {"largest_error": 0.10}
MODELS = {"small": (256, 6, 8192), "large": (512, 6, 8192)}
"""Width, blocks and vocabulary."""
ROWS: dict[str, dict[str, Any]] = {
    "short": {"max_sequence_length": 512, "batch_size": 16},
    "long": {"max_sequence_length": 1024, "batch_size": 2, "train_on": "all"},
}
NF4 = {"kind": "nf4", "compute_dtype": "bfloat16"}
METHODS: dict[str, dict[str, Any]] = {
    "lora-fp32": {"precision": "fp32", "adapter": {"dropout": 0.0}},
    "lora-bf16": {"precision": "bf16", "adapter": {"dropout": 0.0}},
    "dropout-bf16": {"precision": "bf16"},
    "qlora": {"method": "qlora", "quantization": NF4},
    "int8": {"quantization": {"kind": "int8"}},
    "full-fp32": {"method": "full", "adapter": None, "precision": "fp32"},
    "full-bf16": {"method": "full", "adapter": None, "precision": "bf16"},
}
PAIRS = {
    "full": [
        *product(
            MODELS, ROWS, ("lora-fp32", "dropout-bf16", "qlora", "full-fp32"), ("keep",)
        ),
        *product(("large",), ("long",), ("lora-bf16", "full-bf16"), ("keep", "checkpoint")),
        ("large", "long", "full-fp32", "checkpoint"),
        *product(("large",), ("short",), ("full-fp32",), ("adamw_8bit", "adafactor", "muon")),
        ("small", "long", "int8", "keep"),
    ],
    "ci": [("small", "long", "lora-bf16", "keep"), ("small", "short", "full-fp32", "checkpoint")],
}  # fmt: skip


def spec(home: Path, model: Path, rows: str, method: str, how: str, job_id: str) -> TrainingSpec:
    """`how`: keep (activations), checkpoint (compute them again), or an optimizer other than AdamW."""
    tuning = ROWS[rows] | {
        "max_steps": STEPS, "micro_batch_size": 1, "logging_steps": 1, "held_out_fraction": 0.0,
        "gradient_checkpointing": how == "checkpoint",
    }  # fmt: skip
    if how not in {"keep", "checkpoint"}:
        tuning["optimizer"] = how
    plain: dict[str, Any] = {
        "job_id": job_id,
        "method": "lora",
        "model": {"name": str(model), "provider": "custom"},
        "datasets": [{"source": str(home / f"{rows}.jsonl")}],
        "output": {"output_uri": f"{home}/results/{job_id}/"},
        "adapter": {},
        "tuning": tuning,
        "storage": {"file_roots": [str(home)]},
        "cpu_threads": 1,
    }
    return msgspec.convert(plain | METHODS[method], TrainingSpec)


def measure(job: Path) -> tuple[float, float, str]:
    """Peak memory of the steps, what the trainer foretold, in MB, and how it said so."""
    argv = [sys.executable, "-m", "tunegate.trainer", str(job)]
    predicted, peak, line, said = 0.0, 0.0, "", ""
    with job.with_suffix(".err").open("w+") as errors:
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | ENVIRONMENT
        )
        assert process.stdout is not None
        for line in process.stdout:
            if found := PREDICTED.search(line):
                predicted, said = float(found[1]), line.strip()
            if " training: " in line:
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")
                said += f"; {high_water(process.pid):.0f} MB stand"
            if (step := STEP.search(line)) and int(step[1]) == STEPS - 1:
                peak = high_water(process.pid)
        if process.wait() or not peak:
            errors.seek(0)
            raise RuntimeError(f"{job.name}: {line}{errors.read()[-3000:]}")
    return peak, predicted, said


def high_water(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000 * 1.024


def main(slice_name: str, only: str) -> None:
    figures: dict[str, float] = {}
    errors: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, (hidden, layers, vocab) in MODELS.items():
            chats.write_model(home / name, hidden, layers, vocab)
        chats.write_rows(home / "short.jsonl", chats.rows(400, middle_words=30))
        chats.write_rows(home / "long.jsonl", chats.rows(40, middle_words=900))
        for size, rows, method, how in PAIRS[slice_name]:
            name = f"{size}_{rows}_{method}_{how}".replace("-", "_")
            if only not in name:
                continue
            job = home / f"{name}.json"
            job.write_bytes(msgspec.json.encode(spec(home, home / size, rows, method, how, name)))
            peak, predicted, said = measure(job)
            errors.append(abs(predicted / peak - 1))
            print(
                f"{name}: measured {peak:.0f} MB, predicted {predicted:.0f} MB\n  {said}",
                flush=True,
            )
            figures |= {f"{name}_measured_mb": peak, f"{name}_predicted_mb": predicted}
    figures |= {"largest_error": max(errors), "mean_error": sum(errors) / len(errors)}
    report.write("memory", figures, {}, GOALS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slice", choices=PAIRS, default="full")
    parser.add_argument("--only", default="", help="a part of the names of the runs to make")
    given = parser.parse_args()
    main(given.slice, given.only)
