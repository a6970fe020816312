"""Preference rows as pairs of texts: what counts, what stays apart, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tunegate.contract.training import TuningPlan
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data import Prepared, batch_plan, prepare
from tunegate.trainer.data.fetch import LocalFile, LocalSource
from tunegate.trainer.data.packing import IGNORED, pack

CHAT = {
    "chosen": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
    "rejected": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "go"}],
}
PAIR = {"prompt": "ab", "chosen": "cd", "rejected": "e"}


@pytest.fixture
def prepared(tmp_path: Path, byte_tokenizer: PreTrainedTokenizerFast) -> Any:
    def make(rows: list[dict[str, Any]], **tuning: Any) -> Prepared:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        file = LocalFile(path=path, name="rows.jsonl", size_bytes=1, sha256=str(hash(str(rows))))
        source = LocalSource(
            source="x", format="jsonl", split=None, weight=1.0, streaming=False, files=[file]
        )
        return prepare([source], TuningPlan(**tuning), byte_tokenizer, lambda _: None)

    return make


def test_a_pair_is_two_texts_of_which_the_answers_count(
    prepared: Any, byte_tokenizer: PreTrainedTokenizerFast
) -> None:
    store = prepared([PAIR, CHAT]).train
    assert (len(store), store.pairs) == (2, True)
    batch = pack(store, [1, 0])
    texts: list[str] = []
    counted: list[str] = []
    for start, end in zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True):
        ids, labels = batch.input_ids[0, start:end], batch.labels[0, start:end]
        texts.append(byte_tokenizer.decode(ids))
        counted.append(byte_tokenizer.decode(labels[labels != IGNORED]))
        assert batch.position_ids[0, start:end].tolist() == list(range(end - start))
    asked = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert texts == [
        f"{asked}hello<|im_end|>\n", f"{asked}go<|im_end|>\n", "abcd<|im_end|>", "abe<|im_end|>",
    ]  # fmt: skip
    assert counted == ["hello<|im_end|>", "go<|im_end|>", "cd<|im_end|>", "e<|im_end|>"]
    assert batch.targets_by_text.tolist() == [6, 3, 3, 2]
    assert batch.example_ids.tolist() == [1, 0]


def test_a_pair_stays_together(prepared: Any) -> None:
    rows = [{"prompt": "a" * n, "chosen": "b", "rejected": "cc"} for n in range(1, 9)]
    for packing in (True, False):
        tuning = TuningPlan(
            batch_size=8, max_sequence_length=16, micro_batch_size=2, packing=packing
        )
        store = prepared(rows, max_sequence_length=16, held_out_fraction=0.0).train
        batches = batch_plan(store, tuning).micro_batches(0)
        assert sorted(int(e) for batch in batches for e in batch.example_ids) == list(range(8))
        assert all(len(b.targets_by_text) == 2 * len(b.example_ids) for b in batches), packing


@pytest.mark.parametrize(
    ("rows", "tuning", "reason"),
    [
        ([PAIR, {"text": "a"}], {}, "rows.jsonl:2: some rows have rejected answers and some have none"),
        ([{"text": "a"}, PAIR], {}, "rows.jsonl:2: some rows have rejected answers and some have none"),
        ([{"text": "a"}], {"objective": "dpo"}, "rows.jsonl:1: objective dpo needs a chosen and a rejected"),
        ([PAIR], {"over_length": "error", "max_sequence_length": 4}, "rows.jsonl:1: 5 tokens are more"),
    ],
)  # fmt: skip
def test_refused(prepared: Any, rows: list[Any], tuning: dict[str, Any], reason: str) -> None:
    with pytest.raises(TunegateError, match=reason):
        prepared(rows, **tuning)


def test_objective_sft_learns_the_chosen_answer(prepared: Any) -> None:
    store = prepared([PAIR, {"prompt": "ab", "completion": "cd"}], objective="sft").train
    assert not store.pairs
    ids, mask = store.read(np.array([0, 1]))
    assert ids[:5].tolist() == ids[5:].tolist()
    assert mask[:5].tolist() == mask[5:].tolist()


def test_cut_pairs_that_no_longer_differ_are_dropped(prepared: Any) -> None:
    same = {"prompt": "a", "chosen": "bcx", "rejected": "bcy"}
    data = prepared([PAIR, same], max_sequence_length=3)
    assert (len(data.train), data.report.dropped) == (1, {"nothing_to_learn": 1})
    assert data.report.truncated == 2


def test_the_rows_name_the_objective_and_a_note_says_so(prepared: Any) -> None:
    assert any("objective dpo" in note for note in prepared([PAIR]).report.notes)
    assert not any("objective dpo" in n for n in prepared([PAIR], objective="dpo").report.notes)
