"""From files to stores: policies, splits, the report, and errors that name rows but never show them."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tunegate.contract.training import TuningPlan
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data import LocalFile, LocalSource, Prepared, prepare

CANARY = "c4n4ry"


class Bench:
    """Prepares rows that stand in the test."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        self.folder = folder
        self.tokenizer = tokenizer
        self.said: list[str] = []

    def source(self, name: str, rows: list[dict[str, Any]], **fields: Any) -> LocalSource:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        file = LocalFile(path=path, name=name, size_bytes=path.stat().st_size, sha256="0" * 64)
        values = {"format": "auto", "split": None, "weight": 1.0, "streaming": False, **fields}
        return LocalSource(source=f"s3://bucket/{name}", files=[file], **values)

    def prepare(self, *sources: LocalSource, **tuning: Any) -> Prepared:
        plan = TuningPlan(**{"held_out_fraction": 0.0, **tuning})
        return prepare(sources, plan, self.tokenizer, self.said.append)

    def rows(self, rows: list[dict[str, Any]], **tuning: Any) -> Prepared:
        return self.prepare(self.source("a.jsonl", rows), **tuning)

    def text(self, data: Prepared, example: int = 0) -> str:
        return self.tokenizer.decode(data.train.read(np.array([example]))[0])


@pytest.fixture
def bench(tmp_path: Path, byte_tokenizer: PreTrainedTokenizerFast) -> Bench:
    return Bench(tmp_path, copy.deepcopy(byte_tokenizer))


def pair(prompt: str, completion: str) -> dict[str, str]:
    return {"prompt": prompt, "completion": completion}


def failure(bench: Bench, rows: list[dict[str, Any]], **tuning: Any) -> TunegateError:
    with pytest.raises(TunegateError) as caught:
        bench.rows(rows, **tuning)
    assert CANARY not in str(caught.value)
    return caught.value


def test_shapes_may_be_mixed(bench: Bench) -> None:
    data = bench.rows(
        [
            {"text": "abc"},
            pair("ab", "c"),
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        ]
    )
    assert [bench.text(data, example) for example in range(3)] == [
        "abc<|im_end|>",
        "abc<|im_end|>",
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n",
    ]
    report = data.report
    assert (report.rows, report.train_examples, report.tokens) == (3, 3, 31)
    assert (report.supervised_tokens, report.longest) == (3 + 2 + 2, 23)
    assert bench.said[-1] == "3 rows: 3 examples to train on (31 tokens, 7 count), 0 to evaluate on"


def test_truncation_keeps_the_beginning_and_no_end_token(bench: Bench) -> None:
    data = bench.rows([pair("ab", "cdef"), pair("ab", "c")], max_sequence_length=4)
    assert [bench.text(data, example) for example in range(2)] == ["abcd", "abc<|im_end|>"]
    assert data.report.truncated == 1
    assert data.report.notes == ["1 example(s) were cut to max_sequence_length 4"]


def test_dropping_over_length(bench: Bench) -> None:
    data = bench.rows(
        [pair("ab", "cdef"), pair("ab", "c")], max_sequence_length=4, over_length="drop"
    )
    assert data.train.line.tolist() == [2]
    assert data.report.dropped == {"over_length": 1}
    assert data.report.notes == [
        "1 example(s) dropped, longer than max_sequence_length 4: a.jsonl:1"
    ]


def test_refusing_over_length(bench: Bench) -> None:
    error = failure(
        bench, [pair("ab", "c"), pair("ab", CANARY)], max_sequence_length=4, over_length="error"
    )
    assert (error.code, error.detail) == (
        "data_invalid",
        "a.jsonl:2: 9 tokens are more than max_sequence_length 4",
    )


def test_rows_with_nothing_to_learn_are_dropped_and_named(bench: Bench) -> None:
    rows = [pair("long prompt", "x")] * 7 + [pair("ab", "c")]
    data = bench.rows(rows, max_sequence_length=4)
    assert data.train.line.tolist() == [8]
    assert data.report.dropped == {"nothing_to_learn": 7}
    assert data.report.notes[-1] == (
        "7 example(s) dropped, no token to learn within max_sequence_length 4:"
        " a.jsonl:1, a.jsonl:2, a.jsonl:3, a.jsonl:4, a.jsonl:5, …"
    )


def test_all_rows_without_anything_to_learn_are_refused(bench: Bench) -> None:
    error = failure(bench, [pair("long prompt", "x")] * 2, max_sequence_length=4)
    assert error.code == "data_empty"
    assert "no token to learn within max_sequence_length 4: a.jsonl:1, a.jsonl:2" in error.detail


@pytest.mark.parametrize("rows", [[], [{"messages": []}][:0]])
def test_no_rows(bench: Bench, rows: list[dict[str, Any]]) -> None:
    error = failure(bench, rows)
    assert (error.code, error.detail) == ("data_empty", "the data sets hold no row for training")


def test_only_evaluation_rows(bench: Bench) -> None:
    with pytest.raises(TunegateError) as caught:
        bench.prepare(bench.source("v.jsonl", [pair("a", "b")], split="test"))
    assert caught.value.code == "data_empty"


def test_bad_rows_are_collected_to_five(bench: Bench) -> None:
    bad = {"prompt": CANARY, "completion": ""}
    error = failure(bench, [pair("a", "b"), bad, pair("a", "b"), {"text": 3}])
    assert (error.code, error.detail) == (
        "data_invalid",
        "a.jsonl:2: completion is empty; a.jsonl:4: text is a number, not a string",
    )
    assert failure(bench, [bad] * 100).detail.count("completion is empty") == 5


def test_bad_lines_too(bench: Bench) -> None:
    source = bench.source("a.jsonl", [pair("a", "b")])
    source.files[0].path.write_bytes(b'{"text": "fine"}\n{"text": "c4n4ry\xff"}\n')
    with pytest.raises(TunegateError) as caught:
        bench.prepare(source)
    assert caught.value.detail == "a.jsonl:2: not UTF-8 (the line starts at byte 17)"


def test_a_template_that_refuses_names_the_row(bench: Bench) -> None:
    bench.tokenizer.chat_template = "{{ raise_exception('No system role') }}"
    chat = [{"role": "user", "content": CANARY}, {"role": "assistant", "content": "b"}]
    error = failure(bench, [{"messages": chat}])
    assert (
        error.detail == "a.jsonl:1: the model's chat template refuses the messages: No system role"
    )


@pytest.mark.parametrize("split", ["validation", "Test", "dev", "eval", "valid", "val"])
def test_validation_sources_evaluate(bench: Bench, split: str) -> None:
    data = bench.prepare(
        bench.source("t.jsonl", [pair("a", "b")] * 20, split="train", weight=2.0),
        bench.source("v.jsonl", [pair("c", "d")] * 3, split=split),
        held_out_fraction=0.5,
    )
    assert (len(data.train), len(data.eval)) == (20, 3)
    assert data.eval.where(2) == "v.jsonl:3"
    assert data.train.weights == (2.0, 1.0)
    assert (data.report.train_examples, data.report.eval_examples) == (20, 3)


def test_a_slice_is_held_out_without_them(bench: Bench) -> None:
    data = bench.rows([pair("a", f"{place}") for place in range(40)], held_out_fraction=0.1)
    assert (len(data.train), len(data.eval)) == (36, 4)
    assert data.report.notes == ["4 example(s) are held out for evaluation"]


def test_duplicates_are_counted_and_kept(bench: Bench) -> None:
    data = bench.rows([pair("a", "b"), pair("a", "c"), pair("a", "b"), {"text": "ab"}])
    assert data.report.duplicates == 2
    assert len(data.train) == 4
    assert data.report.notes == ["2 example(s) stand more than once in the data"]


def test_train_on_all(bench: Bench) -> None:
    chat = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    data = bench.rows([{"messages": chat}, pair("ab", "c")], train_on="all")
    assert data.report.supervised_tokens == data.report.tokens - 2


def test_notes_of_streaming_and_of_the_default_template(bench: Bench) -> None:
    bench.tokenizer.chat_template = None
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    data = bench.prepare(bench.source("a.jsonl", [{"messages": chat}], streaming=True))
    assert [note.split(":")[0] for note in data.report.notes] == [
        "the model has no chat template",
        "streaming",
    ]
    assert bench.tokenizer.chat_template


def test_files_and_sources_are_reported(bench: Bench) -> None:
    data = bench.prepare(
        bench.source("a.jsonl", [pair("a", "b")]), bench.source("b.jsonl", [pair("c", "d")] * 2)
    )
    assert [
        [(file.name, file.rows) for file in source.files] for source in data.report.sources
    ] == [
        [("a.jsonl", 1)],
        [("b.jsonl", 2)],
    ]
    assert data.train.source.tolist() == [0, 1, 1]
    assert [data.train.where(example) for example in range(3)] == [
        "a.jsonl:1",
        "b.jsonl:1",
        "b.jsonl:2",
    ]


def test_batches_of_text_do_not_change_the_result(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [pair(f"{place}", "x" * (place % 50 + 1)) for place in range(200)]
    whole = bench.rows(rows)
    monkeypatch.setattr("tunegate.trainer.data.intake._BATCH_CHARACTERS", 100)
    parts = bench.rows(rows)
    assert parts.train.ids.tolist() == whole.train.ids.tolist()
    assert parts.train.mask.tolist() == whole.train.mask.tolist()
    assert parts.train.line.tolist() == whole.train.line.tolist()
