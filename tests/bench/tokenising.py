"""`python -m tests.bench.tokenising`: chats to tokens and masks, beside `datasets.map` with the template per row.

Interleaved, medians, each run a process of its own; imports and loading the tokenizer are not counted. Twice: on one
thread in CPU-seconds (`datasets_map_cpu`, the work alone), and with all cores as users run both (`datasets_map_wall`).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import chats, peers, report

HERE = Path(__file__).parent
GOALS = {"datasets_map_cpu": 2.3, "datasets_map_wall": 2.3}
VOCABULARY = 16_384


def ours(tokenizer_folder: str, rows_file: str, cache: str) -> None:
    """One run; prints CPU and wall seconds from the file to tokens that training can read."""
    from transformers import AutoTokenizer

    from tunegate.contract.training import TuningPlan
    from tunegate.trainer.data import LocalFile, LocalSource, prepare

    tokenizer, path = AutoTokenizer.from_pretrained(tokenizer_folder), Path(rows_file)
    file = LocalFile(path=path, name=path.name, size_bytes=path.stat().st_size, sha256="")
    source = LocalSource(
        source=path.name, format="auto", split=None, weight=1.0, streaming=False, files=[file]
    )
    tuning = TuningPlan(max_sequence_length=2048, held_out_fraction=0.0)
    wall, cpu = time.perf_counter(), time.process_time()
    data = prepare([source], tuning, tokenizer, lambda _: None, Path(cache))
    figures = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    figures |= {"tokens": data.report.tokens, "targets": data.report.supervised_tokens}
    print(json.dumps(figures))


def run(argv: list[str], home: Path, **environment: str) -> dict[str, float]:
    """What a process of either side prints last."""
    with tempfile.TemporaryDirectory(dir=home) as cache:
        done = subprocess.run(
            [*argv, str(home / "tokenizer"), str(home / "rows.jsonl"), cache],
            env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
            check=True,
            capture_output=True,
            text=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


def write_world(home: Path, count: int) -> None:
    """The tokenizer and the file of rows."""
    from tunegate.trainer.tiny import make_tiny_tokenizer

    corpus = [chats.sentence(random.Random(seed), 60) for seed in range(2000)]
    make_tiny_tokenizer(corpus, vocab=VOCABULARY).save_pretrained(home / "tokenizer")
    lines = (json.dumps(row) + "\n" for row in chats.rows(count))
    (home / "rows.jsonl").write_text("".join(lines))


def main(rounds: int, count: int) -> None:
    peers.install("trl")
    sides = {
        "tunegate": [sys.executable, "-m", "tests.bench.tokenising", "ours"],
        "datasets_map": [
            str(peers.FOLDER / "trl" / "bin" / "python"), str(HERE / "peer_datasets.py"),
        ],
    }  # fmt: skip
    measured: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_world(home, count)
        for _ in range(rounds):
            figures: dict[str, float] = {}
            for side, argv in sides.items():
                single = run(argv, home, RAYON_NUM_THREADS="1")
                figures[f"{side}_cpu_s"] = single["cpu_s"]
                figures[f"{side}_wall_s"] = run(argv, home)["wall_s"]
                figures |= {f"{side}_{what}": single[what] for what in ("tokens", "targets")}
            measured.append(figures)
    middle = report.medians(measured)
    ratios = {
        f"datasets_map_{what}": middle[f"datasets_map_{what}_s"] / middle[f"tunegate_{what}_s"]
        for what in ("cpu", "wall")
    }
    report.write("tokenising", middle, ratios, GOALS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        ours(*sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--rounds", type=int, default=5)
        parser.add_argument("--rows", type=int, default=4000)
        given = parser.parse_args()
        main(given.rounds, given.rows)
