"""Which files of a folder make a split."""

import pytest

from tunegate.sdk.data.splits import is_eval_split
from tunegate.trainer.data.select import choose_files, is_data_file


@pytest.mark.parametrize(
    ("paths", "split", "chosen"),
    [
        (["b.jsonl", "a.jsonl"], None, ["a.jsonl", "b.jsonl"]),
        (["b.jsonl", "a.jsonl"], "validation", ["a.jsonl", "b.jsonl"]),
        (["train.csv", "test.csv"], None, ["train.csv"]),
        (["train.csv", "test.csv"], "train", ["train.csv"]),
        (["train.csv", "test.csv"], "test", ["test.csv"]),
        (["train.csv", "test.csv"], "validation", []),
        (["train.csv", "dev.csv"], "validation", ["dev.csv"]),
        (["train/0.parquet", "validation/0.parquet"], "Validation", ["validation/0.parquet"]),
        (["test.jsonl"], None, ["test.jsonl"]),
        (["latest.jsonl", "contest.jsonl"], None, ["contest.jsonl", "latest.jsonl"]),
        (["notes.txt"], None, []),
    ],
)
def test_choose_files(paths: list[str], split: str | None, chosen: list[str]) -> None:
    assert choose_files(paths, split) == chosen


@pytest.mark.parametrize("path", ["a.jsonl", "x/a.JSON", "a.csv.gz", "a.parquet", "a.ndjson"])
def test_data_files(path: str) -> None:
    assert is_data_file(path)


@pytest.mark.parametrize(
    "path", ["a.txt", "x/.a.jsonl", "_a.json", "dataset_info.json", "a.jsonl.tmp", "jsonl"]
)
def test_other_files(path: str) -> None:
    assert not is_data_file(path)


def test_split_names() -> None:
    assert is_eval_split("Validation")
    assert not is_eval_split("train")
    assert not is_eval_split(None)
