"""Formats: what is recognised, what is read, and that every reader says where a bad row stands."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunegate.sdk.data import RowError, SourceRow, detect, read_rows, sample_rows

ROWS = [{"text": "one"}, {"text": "zwei\nLinien"}, {"text": "三"}]


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def jsonl(rows: list[dict[str, str]] = ROWS) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=2)
    return path


CSV = 'text,label\none,1\n"zwei\nLinien",2\n三,\n'


@pytest.mark.parametrize(
    ("name", "head", "declared", "kind"),
    [
        ("a.jsonl", b'{"text": 1}', "auto", "jsonl"),
        ("a.ndjson.gz", b'{"text": 1}', "auto", "jsonl"),
        ("a.json", b' \n[{"text": 1}]', "auto", "json"),
        ("a.json", b'{"text": 1}\n{}', "auto", "jsonl"),
        ("a.jsonl", b"\xef\xbb\xbf[{}]", "jsonl", "json"),
        ("data", b'{"text": 1}', "auto", "jsonl"),
        ("data", b"PAR1....", "auto", "parquet"),
        ("data", b"prompt,completion\na,b\n", "auto", "csv"),
        ("data.bin", b"\x80\x04\x95garbage,", "auto", None),
        ("a.CSV", b"text\n", "auto", "csv"),
        ("a.jsonl", b"text\n", "csv", "csv"),
        ("train-00000.parquet", b"PAR1", "hf", "parquet"),
    ],
)
def test_detect(name: str, head: bytes, declared: str, kind: str | None) -> None:
    assert detect(name, head, declared) == kind  # type: ignore[arg-type]


def values(items: list[SourceRow | RowError]) -> list[dict[str, str]]:
    assert all(isinstance(item, SourceRow) for item in items), items
    return [{"text": item.value["text"]} for item in items if isinstance(item, SourceRow)]


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "a.jsonl", jsonl()),
        write(tmp_path / "bom.jsonl", b"\xef\xbb\xbf" + jsonl().encode()),
        write(tmp_path / "a.jsonl.gz", gzip.compress(jsonl().encode())),
        write(tmp_path / "array.json", json.dumps(ROWS, indent=2)),
        write(tmp_path / "a.csv", CSV),
        write(tmp_path / "bom.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()),
        parquet(tmp_path / "a.parquet"),
        parquet(tmp_path / "no-suffix"),
    ]
    for file in files:
        found = values(list(read_rows(file)))
        assert [row["text"].replace("\r", "") for row in found] == [r["text"] for r in ROWS], file


def test_lines_are_where_rows_start(tmp_path: Path) -> None:
    def lines(name: str, data: str) -> list[int]:
        return [item.line for item in read_rows(write(tmp_path / name, data))]

    assert lines("a.jsonl", '{"text": "1"}\n\n  \n{"text": "2"}\n') == [1, 4]
    assert lines("a.csv", CSV) == [2, 3, 5]
    assert lines("a.json", '[\n{"text":\n "1"},\n\n{"text": "2"}]') == [2, 5]
    assert [item.line for item in read_rows(parquet(tmp_path / "a.parquet"))] == [1, 2, 3]


def test_an_empty_csv_cell_is_absent(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path / "a.csv", "instruction,input,output\nsay,,hello\n")))
    assert rows == [SourceRow(line=2, value={"instruction": "say", "output": "hello"})]


def test_a_long_array_is_read_in_windows(tmp_path: Path) -> None:
    rows = [
        {"text": f"{place} " + 'ü[]{}"\\' * (place % 40_000 if place == 7 else 50)}
        for place in range(300)
    ]
    file = write(tmp_path / "a.json", json.dumps(rows))
    assert values(list(read_rows(file))) == rows


@pytest.mark.parametrize("size", [1, 10, 30, 60, 90])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", jsonl() * 3),
        ("a.csv", "text\none\nzwei\n三\nvier\nfünf\n" * 4),
        ("a.json", json.dumps(ROWS * 3)),
    ],
)
def test_a_sample_leaves_the_cut_row_out(name: str, data: str, size: int) -> None:
    whole = list(sample_rows(data.encode(), name=name, whole=True))
    part = list(sample_rows(data.encode()[:size], name=name))
    assert part == whole[: len(part)]
    assert len(part) < len(whole)


def test_a_sample_of_zipped_rows() -> None:
    rows = [{"text": f"{place} {place * 7919 % 1009}"} for place in range(2000)]
    data = gzip.compress(jsonl(rows).encode())
    part = values(list(sample_rows(data[: len(data) // 2], name="a.jsonl.gz")))
    assert 10 < len(part) < 2000
    assert part == rows[: len(part)]
    assert values(list(sample_rows(data, name="a.jsonl.gz", whole=True))) == rows


def test_a_sample_of_parquet_needs_the_whole_file(tmp_path: Path) -> None:
    data = parquet(tmp_path / "a.parquet").read_bytes()
    assert list(sample_rows(data[:-10], name="a.parquet")) == []
    assert values(list(sample_rows(data, name="a.parquet", whole=True))) == ROWS


def test_no_heavy_library_comes_along() -> None:
    code = (
        "import sys, tunegate.sdk.data as d; list(d.sample_rows(b'{}', name='a.jsonl', whole=True));"
        "print({'torch', 'transformers', 'numpy', 'pyarrow'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
