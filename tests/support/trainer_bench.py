"""Rows to learn, and a way to run a whole training on a tiny model in this process."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec

from tunegate.contract.training import TrainingSpec
from tunegate.trainer.attempt import run_attempt
from tunegate.trainer.config import Launch


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Questions whose answers repeat a word of the question."""
    draw = random.Random(seed)
    made: list[dict[str, Any]] = []
    for _ in range(count):
        colour = draw.choice(["red", "green", "blue", "black", "white"])
        thing = draw.choice(["car", "house", "tree", "lamp", "desk", "boat"])
        number = draw.randint(1, 99)
        filler = "so " * draw.randint(0, 12)
        question = f"Hint: {colour}. {filler}What colour has {thing} {number}?"
        answer = f"The {thing} {number} is {colour}."
        made.append(
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
    return made


def write_rows(path: Path, count: int, seed: int = 0) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count, seed)))
    return path


class Bench:
    """Builds specs on one tiny model and runs them."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.base = base
        self.folder = folder
        self.data = write_rows(folder / "rows.jsonl", 64)

    def spec(self, job_id: str, **fields: Any) -> TrainingSpec:
        tuning = {
            "batch_size": 8, "num_epochs": 1, "learning_rate": 5e-3, "warmup_ratio": 0.0,
            "gradient_checkpointing": False, "max_sequence_length": 128, "logging_steps": 1,
            "held_out_fraction": 0.125,
        } | fields.pop("tuning", {})  # fmt: skip
        plain = {
            "job_id": job_id,
            "method": "lora",
            "model": {"name": str(self.base), "provider": "custom"},
            "datasets": [{"source": str(self.data)}],
            "output": {
                "output_uri": f"file://{self.folder}/out/{job_id}/",
                "log_uri": f"file://{self.folder}/logs/{job_id}/",
            },
            "adapter": {"dropout": 0.1, "rank": 8},
            "precision": "fp32",
            "tuning": tuning,
            "storage": {"file_roots": ["/"]},
        } | fields
        return msgspec.convert(plain, TrainingSpec)

    def output(self, job_id: str) -> Path:
        return self.folder / "out" / job_id

    def run(self, spec: TrainingSpec, work: str = "work") -> int:
        """Train to the end; gives the exit code."""
        return run_attempt(Launch(spec=spec, work_dir=self.folder / work / spec.job_id))

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """The events of the run, from its log folder."""
        log = self.folder / "logs" / job_id / "events.ndjson"
        return [json.loads(line)["event"] for line in log.read_text().splitlines()]

    def last(self, job_id: str) -> dict[str, Any]:
        return self.events(job_id)[-1]

    def metrics(self, job_id: str) -> dict[str, float]:
        return json.loads((self.output(job_id) / "metrics.json").read_text())
