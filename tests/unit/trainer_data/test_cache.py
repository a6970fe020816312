"""The token cache: the same tokens whether made at once, in pieces or found again; memory stays bounded."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tunegate.contract.training import TuningPlan
from tunegate.trainer.data import LocalFile, LocalSource, Prepared, batch_plan, prepare
from tunegate.trainer.data.template import DEFAULT_TEMPLATE
from tunegate.trainer.data.tokenise import Tokeniser

TUNING = TuningPlan(max_sequence_length=64, batch_size=4, held_out_fraction=0.1)


class _Interrupted(Exception):
    pass


class Bench:
    """Two files of chats, texts too long and rows that stand twice; few characters make a batch."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        self.root = folder / "tokens"
        self.data = folder / "data"
        self.data.mkdir()
        self.tokenizer = tokenizer
        self.encoded = 0
        self.sources = [self.source("a.jsonl", 0), self.source("b.jsonl", 60)]

    def source(self, name: str, first: int, sha256: str = "0" * 64) -> LocalSource:
        path = self.data / name
        with path.open("w") as file:
            for place in range(first, first + 60):
                row: dict[str, Any] = {"prompt": f"{place % 50}?", "completion": "x" * (place + 1)}
                if place % 3 == 0:
                    ask = {"role": "user", "content": f"{place}"}
                    row = {"messages": [ask, {"role": "assistant", "content": "yes"}]}
                file.write(json.dumps(row) + "\n")
        local = LocalFile(path=path, name=name, size_bytes=path.stat().st_size, sha256=sha256)
        return LocalSource(
            source=f"s3://x/{name}", format="auto", split=None, weight=1.0, streaming=False, files=[local]
        )  # fmt: skip

    def prepare(
        self, root: Path | None, tuning: TuningPlan = TUNING, check: Callable[[], None] = lambda: None
    ) -> Prepared:  # fmt: skip
        tokenizer = copy.deepcopy(self.tokenizer)
        tokenizer.chat_template = None
        try:
            return prepare(self.sources, tuning, tokenizer, lambda _: None, root, check)
        finally:
            self.template = tokenizer.chat_template


@pytest.fixture
def bench(
    tmp_path: Path, byte_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    made = Bench(tmp_path, byte_tokenizer)
    encode = Tokeniser.encode

    def counted(self: Tokeniser, examples: Any) -> Any:
        made.encoded += len(examples)
        return encode(self, examples)

    monkeypatch.setattr(Tokeniser, "encode", counted)
    monkeypatch.setattr("tunegate.trainer.data.intake._BATCH_CHARACTERS", 300)
    monkeypatch.setattr("tunegate.trainer.data.intake._SAVE_CHARACTERS", 900)
    return made


def same(one: Prepared, other: Prepared) -> bool:
    """Tokens, masks, origins, report and the order of training."""
    everything = np.arange(len(one.train))
    for mine, theirs in ((one.train, other.train), (one.eval, other.eval)):
        if not np.array_equal(mine.rows, theirs.rows):
            return False
        places = np.arange(len(mine))
        for a, b in zip(mine.read(places), theirs.read(places), strict=True):
            if not np.array_equal(a, b):
                return False
    plans = [batch_plan(data.train, TUNING) for data in (one, other)]
    orders = [np.concatenate([plan.examples(step) for step in range(5)]) for plan in plans]
    assert len(everything)
    return one.report == other.report and np.array_equal(*orders)


def stop_after(batches: int) -> Callable[[], None]:
    left = iter(range(batches))

    def check() -> None:
        if next(left, None) is None:
            raise _Interrupted

    return check


def test_a_second_run_reads_what_the_first_has_made(bench: Bench) -> None:
    first = bench.prepare(bench.root)
    made, bench.encoded = bench.encoded, 0
    second = bench.prepare(bench.root)
    assert (made, bench.encoded) == (120, 0)
    assert same(first, second)
    assert same(first, bench.prepare(None))
    assert first.report.truncated
    assert first.report.duplicates
    assert bench.template == DEFAULT_TEMPLATE


@pytest.mark.parametrize("batches", [0, 1, 4, 7, 11, 15])
def test_an_interrupted_run_goes_on_where_it_was(bench: Bench, batches: int) -> None:
    whole = bench.prepare(None)
    bench.encoded = 0
    with pytest.raises(_Interrupted):
        bench.prepare(bench.root, check=stop_after(batches))
    bench.encoded = 0
    assert same(whole, bench.prepare(bench.root))
    assert bench.encoded < 120 or batches < 7
    assert bench.template == DEFAULT_TEMPLATE


def test_interrupted_again_and_again(bench: Bench) -> None:
    whole = bench.prepare(None)
    for _ in range(30):
        try:
            found = bench.prepare(bench.root, check=stop_after(5))
        except _Interrupted:
            continue
        assert same(whole, found)
        return
    pytest.fail("no run got any further")


@pytest.mark.parametrize("name", ["ids", "mask", "rows", "tally.json"])
def test_what_is_torn_is_made_again(bench: Bench, name: str) -> None:
    whole = bench.prepare(bench.root)
    [file] = [path for path in bench.root.rglob(name) if "eval" not in path.parts]
    file.write_bytes(file.read_bytes()[:-1])
    bench.encoded = 0
    assert same(whole, bench.prepare(bench.root))
    assert bench.encoded == 120


def test_what_stands_behind_the_last_save_is_cut_off(bench: Bench) -> None:
    with pytest.raises(_Interrupted):
        bench.prepare(bench.root, check=stop_after(9))
    for file in bench.root.rglob("ids"):
        file.write_bytes(file.read_bytes() + b"torn")
    assert same(bench.prepare(None), bench.prepare(bench.root))


def test_other_data_or_settings_are_other_tokens(bench: Bench) -> None:
    bench.prepare(bench.root)
    [old] = [path for path in bench.root.iterdir() if path.is_dir()]
    for number, (sources, tuning) in enumerate(
        [
            ([bench.source("a.jsonl", 0, "1" * 64)], TUNING),
            (bench.sources, TuningPlan(max_sequence_length=32)),
            (bench.sources, TuningPlan(max_sequence_length=64, over_length="drop")),
            (bench.sources, TuningPlan(max_sequence_length=64, train_on="all")),
        ]
    ):
        bench.sources, bench.encoded = sources, 0
        bench.prepare(bench.root, tuning)
        folders = [path for path in bench.root.iterdir() if path.is_dir()]
        assert bench.encoded, number
        assert len(folders) == 1
        assert old not in folders
        bench.sources = [bench.source("a.jsonl", 0), bench.source("b.jsonl", 60)]


def test_nobody_else_may_read_it(bench: Bench) -> None:
    bench.prepare(bench.root)
    assert bench.root.stat().st_mode & 0o077 == 0


PEAK = """
import json, resource, sys
from pathlib import Path
from tunegate.contract.training import TuningPlan
from tunegate.trainer.data import LocalFile, LocalSource, prepare
from tunegate.trainer.tiny import make_tiny_tokenizer

data, root = Path(sys.argv[1]), Path(sys.argv[2])
tokenizer = make_tiny_tokenizer(["some words of the corpus to learn"] * 20, vocab=400)
file = LocalFile(path=data, name="a.jsonl", size_bytes=data.stat().st_size, sha256=str(data))
source = LocalSource(source="x", format="auto", split=None, weight=1.0, streaming=True, files=[file])
prepare([source], TuningPlan(max_sequence_length=4096), tokenizer, lambda _: None, root)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """60 MB of rows may take little more than 6 MB of them."""
    peaks_mb: list[int] = []
    for size_mb in (6, 60):
        data = tmp_path / f"{size_mb}.jsonl"
        with data.open("w") as file:
            for place in range(size_mb * 500):
                file.write(json.dumps({"text": f"{place} " + "words of the corpus " * 98}) + "\n")
        assert data.stat().st_size > size_mb * 900_000
        argv = [sys.executable, "-c", PEAK, str(data), str(tmp_path / f"tokens-{size_mb}")]
        peaks_mb.append(int(subprocess.run(argv, check=True, capture_output=True).stdout))
    assert peaks_mb[1] - peaks_mb[0] < 60, peaks_mb
