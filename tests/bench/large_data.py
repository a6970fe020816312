"""`make bench-large-data`: data sets far larger than the memory that reading them may take.

Fetch, tokenise and batches as the trainer does them, each run a process of its own. Text: every byte is learnt from; the
second file is a tenth of it, so growth shows. Wide: the rows hold mostly fields that training doesn't read, as exports do,
so that ten gigabytes pass through in minutes. Then a kill half way and what the next run need not do again, a run that finds
all done, the same rows as parquet and CSV, and one line as long as a file.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import chats, report

GOALS = {"peak_above_base_mb": 600.0, "growth_text_mb": 100.0}
GB, MB = 10**9, 10**6
POOL = 4000
STEPS = 50
LEAST_TEXT_GB = 0.3
"""Of less there is no half to be killed at."""


def ours(home: Path, data: Path) -> None:
    """One run from the file to batches; prints its figures, or the failure's code."""
    import asyncio

    from transformers import AutoTokenizer

    from tunegate.contract.training import (
        DataSource,
        ModelSource,
        OutputPlan,
        StoragePolicy,
        TrainerSecrets,
        TrainingSpec,
        TuningPlan,
    )  # fmt: skip
    from tunegate.sdk.errors import TunegateError
    from tunegate.trainer.data import batch_plan, fetch_sources, prepare

    tokenizer = AutoTokenizer.from_pretrained(home / "tokenizer")
    spec = TrainingSpec(
        job_id="bench", method="lora", model=ModelSource(name="m"), datasets=[DataSource(source=str(data))],
        output=OutputPlan(output_uri="file:///out/"), storage=StoragePolicy(file_roots=[str(data.parent)]),
        tuning=TuningPlan(max_sequence_length=2048),
    )  # fmt: skip
    work, base = home / f"work-{data.name}", memory_mb("RssAnon")
    started = time.perf_counter()
    sources = asyncio.run(fetch_sources(spec, TrainerSecrets(), work, lambda _: None))
    fetched = time.perf_counter()
    try:
        prepared = prepare(sources, spec.tuning, tokenizer, lambda _: None, work / "tokens")
    except TunegateError as error:
        figures: dict[str, Any] = {"failed": error.code, "seconds": time.perf_counter() - fetched}
    else:
        tokenised = time.perf_counter()
        plan = batch_plan(prepared.train, spec.tuning)
        seen = sum(batch.num_tokens for step in range(STEPS) for batch in plan.micro_batches(step))
        figures = {
            "fetch_s": fetched - started, "tokenise_s": tokenised - fetched, "batches_tokens": seen,
            "tokens": prepared.report.tokens, "rows": prepared.report.rows,
        }  # fmt: skip
    copied = sum(file.stat().st_size for file in (work / "data").rglob("*") if file.is_file())
    print(json.dumps({**figures, "base_mb": base, "copied_mb": copied / MB}))


def memory_mb(what: str, pid: int | str = "self") -> float:
    """A line of the process's status: RssAnon is memory of its own, not pages of mapped files."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(one.split()[1]) / 1024 for one in lines if one.startswith(f"{what}:")), 0.0)


def run(home: Path, data: Path, kill: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """What the run says, and the most memory that it had; {} when it was killed because `kill` said so."""
    argv = [sys.executable, "-m", "tests.bench.large_data", "ours", str(home), str(data)]
    peak_mb = 0.0
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(argv, stdout=out, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        while process.poll() is None:
            try:
                peak_mb = max(peak_mb, memory_mb("RssAnon", process.pid))
            except (ProcessLookupError, FileNotFoundError):
                break
            if kill():
                process.kill()
            time.sleep(0.05)
        if process.wait():
            return {}
        out.seek(0)
        found = json.loads(out.read().splitlines()[-1])
    return {**found, "above_base_mb": peak_mb - found["base_mb"]}


def tokens_saved(home: Path, data: Path) -> int:
    """What the cache says is whole."""
    for tally in (home / f"work-{data.name}" / "tokens").glob("*/tally.json"):
        return json.loads(tally.read_bytes())["train"]["tokens"]
    return 0


def rows(wide: bool) -> Callable[[int], dict[str, Any]]:
    """Row number → row; no two are the same. The wide ones are 10 kB, of which a chat of about 650 bytes is read."""
    pool, chance = chats.rows(POOL), random.Random(7)
    extra = [chance.randbytes(4600).hex() for _ in range(50)]

    def row(number: int) -> dict[str, Any]:
        first, answer = pool[number % POOL]["messages"]  # type: ignore[misc]
        asked = {"role": "user", "content": f"{number}: {first['content']}"}
        more = {"metadata": {"id": number, "page": extra[number % 50]}} if wide else {}
        return {**more, "messages": [asked, answer]}

    return row


def write_jsonl(file: Path, size_bytes: float, wide: bool) -> Path:
    row, number = rows(wide), 0
    with file.open("w") as out:
        while out.tell() < size_bytes:
            out.write("".join(json.dumps(row(number + one)) + "\n" for one in range(500)))
            number += 500
    return file


def write_parquet(file: Path, size_bytes: float) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row, number = rows(True), 0
    first = pa.Table.from_pylist([row(0)])
    with pq.ParquetWriter(file, first.schema, compression="zstd", use_dictionary=False) as writer:
        while file.stat().st_size < size_bytes:
            writer.write_table(pa.Table.from_pylist([row(number + one) for one in range(5000)]))
            number += 5000
    return file


def write_csv(file: Path, size_bytes: float) -> Path:
    import csv

    row, number = rows(True), 0
    with file.open("w") as out:
        writer = csv.writer(out)
        writer.writerow(["prompt", "completion", "metadata"])
        while out.tell() < size_bytes:
            for one in (row(number + place) for place in range(500)):
                first, answer = one["messages"]
                writer.writerow([first["content"], answer["content"], one["metadata"]["page"]])
            number += 500
    return file


def write_line(file: Path, size_bytes: float) -> Path:
    """One line without an end; the hole in the file takes no place on the disk."""
    with file.open("wb") as out:
        out.write(b'{"text": "')
        out.truncate(int(size_bytes))
    return file


def main(gb: float, text_gb: float, other_gb: float) -> None:
    figures: dict[str, float] = {}
    folder = Path(tempfile.mkdtemp(prefix="large-data-"))
    try:
        write_tokenizer(folder)

        def measure(name: str, data: Path) -> dict[str, Any]:
            found = run(folder, data)
            figures[f"{name}_gb"] = data.stat().st_size / GB
            for what in ("above_base_mb", "copied_mb"):
                figures[f"{name}_{what}"] = found[what]
            for what in ("tokens", "rows", "fetch_s", "tokenise_s"):
                if what in found:
                    figures[f"{name}_{what}"] = found[what]
            if "tokenise_s" in found:
                figures[f"{name}_mb_per_s"] = data.stat().st_size / MB / found["tokenise_s"]
            print(name, found, flush=True)
            return found

        def done_with(data: Path) -> None:
            data.unlink()
            shutil.rmtree(folder / f"work-{data.name}", ignore_errors=True)

        small = write_jsonl(folder / "text-small.jsonl", text_gb * GB / 10, wide=False)
        measure("text_tenth", small)
        done_with(small)

        text = write_jsonl(folder / "text.jsonl", text_gb * GB, wide=False)
        half = figures["text_tenth_tokens"] * 5
        assert not run(folder, text, lambda: tokens_saved(folder, text) > half)
        figures["killed_with_tokens"] = kept = tokens_saved(folder, text)
        whole = measure("text_resumed", text)
        figures["kept_share"] = kept / whole["tokens"]
        again = run(folder, text)
        figures["second_run_s"] = again["tokenise_s"]
        tokens = folder / f"work-{text.name}" / "tokens"
        disk = sum(file.stat().st_size for file in tokens.rglob("*") if file.is_file())
        figures["disk_bytes_per_token"] = disk / whole["tokens"]
        done_with(text)

        wide = write_jsonl(folder / "wide.jsonl", gb * GB, wide=True)
        measure("wide", wide)
        done_with(wide)
        for name, write in (("parquet", write_parquet), ("csv", write_csv)):
            other = write(folder / f"wide.{name}", other_gb * GB)
            measure(name, other)
            done_with(other)
        line = write_line(folder / "line.jsonl", gb * GB)
        assert measure("line", line)["failed"] == "data_invalid"
    finally:
        shutil.rmtree(folder)
    peaks = [value for name, value in figures.items() if name.endswith("above_base_mb")]
    figures["peak_above_base_mb"] = max(peaks)
    figures["growth_text_mb"] = (
        figures["text_resumed_above_base_mb"] - figures["text_tenth_above_base_mb"]
    )
    report.write("large_data", figures, {}, GOALS)


def write_tokenizer(home: Path) -> None:
    from tunegate.trainer.tiny import make_tiny_tokenizer

    corpus = [chats.sentence(random.Random(seed), 60) for seed in range(2000)]
    make_tiny_tokenizer(corpus, vocab=16_384).save_pretrained(home / "tokenizer")


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        ours(*map(Path, sys.argv[2:]))
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument(
            "--gb", type=float, default=10, help="size of the wide rows and of the line"
        )
        parser.add_argument("--text-gb", type=float, default=1, help="size of pure text")
        parser.add_argument("--other-gb", type=float, default=2, help="size of parquet and CSV")
        given = parser.parse_args()
        if given.text_gb < LEAST_TEXT_GB:
            parser.error(f"--text-gb is at least {LEAST_TEXT_GB}: the cache is saved every 64 MB")
        main(given.gb, given.text_gb, given.other_gb)
