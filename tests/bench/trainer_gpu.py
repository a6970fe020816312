"""`make bench-trainer-gpu`: LoRA and QLoRA of Llamas of 1B and 8B weights on one GPU, beside TRL with packing.

One script for a bare machine: it needs torch, this package's trainer extra and nothing from a network. Every training
is a process of its own; a rate is taken from the end of step `WARM` to the end of the last. `--device cpu --tiny` runs
the very same way with a model that a CPU can train.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Self

from tests.bench import gpu_cases, peers, report
from tests.bench.gpu_cases import SHAPES, Plan

WARM = 3
SUPERVISED = 0.66
STEP = re.compile(r"step (\d+)[:/].*?([\d,]+) tokens")
PREDICTED = re.compile(r"memory: about (\d+) MB at the peak \(base (\d+)")
TAKEN = re.compile(r"memory: tensors took (\d+) MB at the peak, (\d+) MB were held")
FLASH = {"flash_attn_3": "flash_attention_3", "flash_attn": "flash_attention_2"}
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
PEAK_FLOPS = {
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10": 125e12,
}
"""Dense bf16, by a part of the device's name, as its maker states it."""
GOALS = {"trl_packing": 1.3, "mfu_lora": 0.50, "mfu_qlora": 0.40}
"""At least, of both sizes; memory: less than TRL's."""


class MemoryWatch:
    """The most device memory that was taken beyond what was taken before; on a CPU the process tells itself."""

    def __init__(self, device: str) -> None:
        self._cuda, self._over = device == "cuda", threading.Event()
        self._before = self.peak = self._taken()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown_mb(self) -> float:
        return (self.peak - self._before) / 2**20

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, self._taken())

    def _taken(self) -> int:
        if not self._cuda:
            return 0
        import torch

        free, total = torch.cuda.mem_get_info()
        return total - free


def run(argv: list[str], folder: Path, device: str) -> dict[str, float]:
    """Tokens per second, seconds per step and peak memory (MB) of a training that tells its steps."""
    folder.mkdir()
    steps: dict[int, tuple[float, int]] = {}
    told: dict[str, float] = {}
    last = ""
    with (folder / "stderr.txt").open("w+") as errors, MemoryWatch(device) as memory:
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder,
            env=os.environ | QUIET | {"HF_HOME": str(folder / "hub")},
        )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            last = line
            if found := STEP.search(line):
                steps[int(found[1])] = time.perf_counter(), int(found[2].replace(",", ""))
            if found := PREDICTED.search(line):
                told["predicted_mb"] = float(found[1]) - float(found[2])
            if found := TAKEN.search(line):
                told |= {"tensors_mb": float(found[1]), "held_mb": float(found[2])}
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or len(steps) <= WARM:
            errors.seek(0)
            raise RuntimeError(f"{argv}: {last}{errors.read()[-3000:]}")
    (early_s, early), (late_s, late) = steps[WARM], steps[max(steps)]
    return {
        "tokens_per_s": (late - early) / (late_s - early_s),
        "step_s": (late_s - early_s) / (max(steps) - WARM),
        "peak_memory_mb": memory.grown_mb if device == "cuda" else usage.ru_maxrss / 1024,
        **told,
    }


def trl_python() -> str | None:
    """Where TRL can be imported: here, or in the environment that `make bench-trainer` made for it."""
    if importlib.util.find_spec("trl"):
        return sys.executable
    home = peers.FOLDER / "trl" / "bin" / "python"
    return str(home) if home.is_file() else None


def attentions(device: str) -> list[str]:
    """What TRL may compute attention with here; without a network only what is installed. The best one counts."""
    if device == "cpu":
        return ["sdpa"]
    flash = [name for package, name in FLASH.items() if importlib.util.find_spec(package)]
    return flash[:1] or ["sdpa", "flex_attention"]


def matmul_flops(device: str) -> float:
    """Operations per second that a large bf16 product reaches."""
    import torch

    side = 8192 if device == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    times: list[float] = []
    for _ in range(8):
        if device == "cuda":
            torch.cuda.synchronize()
        began_s = time.perf_counter()
        _ = left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began_s)
    return 2 * side**3 / median(times[2:])


def stated_flops(device: str) -> float | None:
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else ""
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


def one_case(home: Path, size: str, method: str, plan: Plan, device: str) -> dict[str, float]:
    """Ours and TRL's training of one model with one method."""
    shape, model, rows = SHAPES[size], home / size, home / "rows.jsonl"
    if not model.exists():
        gpu_cases.write_model(model, shape, device)
    end = f"{size}_{method}"
    job = gpu_cases.write_job(home, model, rows, method, plan)
    mine = run([sys.executable, "-m", "tunegate.trainer", str(job)], home / f"ours_{end}", device)
    found = {f"tunegate_{name}_{end}": value for name, value in mine.items()}
    sizes = gpu_cases.lengths(model, plan)
    seen = sum(n * n for n in sizes) / sum(sizes) / 2
    rate = mine["tokens_per_s"] * shape.operations_per_token(SUPERVISED, seen)
    measured, stated = matmul_flops(device), stated_flops(device)
    found |= {f"achieved_tflops_{end}": rate / 1e12, f"share_of_matmul_{end}": rate / measured}
    if stated is not None:
        found[f"mfu_{method}_{size}"] = rate / stated
    if "held_mb" in mine:
        found[f"memory_error_{end}"] = mine["predicted_mb"] / mine["held_mb"] - 1
    python = trl_python()
    if python is None:
        print(f"{end}: TRL is not installed here, so there is nothing to compare with", flush=True)
        return found
    script = Path(__file__).parent / "peer_trl_gpu.py"
    theirs: dict[str, dict[str, float]] = {}
    for attention in attentions(device):
        argv = [python, str(script), str(model), str(rows), method, device, str(plan.length)]
        argv += [str(plan.packed), attention]
        try:
            theirs[attention] = run(argv, home / f"trl_{end}_{attention}", device)
        except RuntimeError as error:
            print(f"TRL with {attention}: {str(error)[-1500:]}", file=sys.stderr, flush=True)
        else:
            print(f"TRL with {attention}: {theirs[attention]}", flush=True)
    if not theirs:
        return found
    best = max(theirs.values(), key=lambda one: one["tokens_per_s"])
    found |= {f"trl_{name}_{end}": value for name, value in best.items()}
    found[f"trl_packing_{end}"] = mine["tokens_per_s"] / best["tokens_per_s"]
    found[f"trl_memory_{end}"] = best["peak_memory_mb"] / mine["peak_memory_mb"]
    return found


def main(
    device: str, tiny: bool, sizes: list[str], methods: list[str], rounds: int, steps: int
) -> int:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        print(
            "this bench needs a CUDA device; --device cpu --tiny tries its way on a CPU",
            file=sys.stderr,
        )
        return 2
    plan = gpu_cases.TINY if tiny else replace(gpu_cases.FULL, steps=steps)
    sizes = ["tiny"] if tiny else sizes
    measured: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            gpu_cases.write_rows(home / "rows.jsonl", plan)
            for size in sizes:
                for method in methods:
                    for name, value in one_case(home, size, method, plan, device).items():
                        measured.setdefault(name, []).append(value)
                        print(f"{name} {value:.4g}", flush=True)
    medians = {name: median(values) for name, values in measured.items()}
    ratios = {n: v for n, v in medians.items() if n.startswith(("trl_packing", "trl_memory"))}
    figures = {n: v for n, v in medians.items() if n not in ratios}
    goals = {
        name: goal for name in medians for start, goal in GOALS.items() if name.startswith(start)
    }
    report.write("trainer_gpu_tiny" if tiny else "trainer_gpu", figures, ratios, goals)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--sizes", nargs="+", choices=("1b", "8b"), default=["1b", "8b"])
    parser.add_argument(
        "--methods", nargs="+", choices=("lora", "qlora"), default=["lora", "qlora"]
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=gpu_cases.FULL.steps)
    given = parser.parse_args()
    sys.exit(main(given.device, given.tiny, given.sizes, given.methods, given.rounds, given.steps))
