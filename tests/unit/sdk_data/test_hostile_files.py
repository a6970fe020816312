"""Files that are broken or mean harm: one clear error each, no content in it, memory bounded."""

import gzip
import json
import pickle
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunegate.sdk.data import MAX_ROW_BYTES, RowError, SourceRow, read_rows, source

CANARY = "c4n4ry"


def errors(path: Path) -> list[str]:
    return [str(item) for item in read_rows(path) if isinstance(item, RowError)]


GOOD = b'{"text": "fine"}\n'


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("utf8.jsonl", GOOD + b'{"text": "c4n4ry \xff"}\n', "utf8.jsonl:2: not UTF-8 (the line starts at byte 17)"),
        ("cut.jsonl", GOOD + b'{"text": "c4n4ry', "cut.jsonl:2: not JSON: Input data was truncated (the line starts at byte 17)"),
        ("nul.jsonl", b'{"text": "c4n4ry\0"}\n', "nul.jsonl:1: not JSON: JSON is malformed: invalid character (byte 16) (the line starts at byte 0)"),
        ("list.jsonl", GOOD + b'"c4n4ry"\n', "list.jsonl:2: not a JSON object: Expected `object`, got `str`"),
        ("nan.jsonl", b'{"text": NaN}\n', "nan.jsonl:1: not JSON: JSON is malformed: invalid character (byte 9) (the line starts at byte 0)"),
        ("deep.jsonl", b'{"text":' + b"[" * 100_000 + b"\n", "deep.jsonl:1: the JSON is nested too deeply"),
        ("pickle.jsonl", pickle.dumps({"text": CANARY}), "pickle.jsonl:1: not JSON: JSON is malformed: invalid character (byte 0) (the line starts at byte 0)"),
        ("pickle", pickle.dumps({"text": CANARY}), "pickle: the format is not known: JSONL, a JSON array, CSV with a header and parquet can be read"),
        ("array.json", b'[{"text": "c4n4ry"}, {"text": ', "array.json:1: not JSON: Expecting value"),
        ("array2.json", b'[{"text": "a"}\n {"text": "c4n4ry"}]', "array2.json:2: not JSON: , expected"),
        ("array3.json", b'[\n"c4n4ry"]', "array3.json:2: an element of the array is not an object"),
        ("array4.json", b'[\n{"text": "\xff\xff"}]', "array4.json:2: not UTF-8"),
        ("array5.json", b'[{"text": NaN}]', "array5.json:1: not JSON: NaN and Infinity are not JSON"),
        ("array6.json", b'[{"text":' + b"[" * 100_000, "array6.json:1: the JSON is nested too deeply"),
        ("headless.csv", b"c4n4ry,what\nfoo,bar\n", "headless.csv:1: the first line names no column that is known, is the header missing? Known: answer, chosen, completion, context, conversations, functions, input, instruction, messages, output, prompt, question, rejected, response, system, text, tools"),
        ("twice.csv", b"text,text\nfoo,bar\n", "twice.csv:1: a column name stands twice in the header"),
        ("cells.csv", b"text,label\nc4n4ry\n", "cells.csv:2: 1 cells where the header has 2"),
        ("quote.csv", b'text,label\n"c4n4ry"x,1\n', "quote.csv:2: not CSV: ',' expected after '\"'"),
        ("open.csv", b'text\n"c4n4ry\n\n', "open.csv:2: not CSV: unexpected end of data"),
        ("utf8.csv", b"text\nfine\n\xe9t\xe9\n", "utf8.csv:3: not UTF-8 (the line starts at byte 10)"),
        ("bad.parquet", b"PAR1c4n4ry", "bad.parquet: not a readable parquet file"),
        ("pickle.parquet", pickle.dumps(CANARY), "pickle.parquet: not a readable parquet file"),
        ("broken.jsonl.gz", gzip.compress(GOOD)[:-9], "broken.jsonl.gz: the gzip file is damaged"),
        ("fake.jsonl.gz", b"\x1f\x8bc4n4ry", "fake.jsonl.gz: the gzip file is damaged"),
    ],
)  # fmt: skip
def test_one_error(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    assert errors(file) == [message]
    assert CANARY not in message


def test_reading_goes_on_after_a_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"bad\n" + GOOD + b"worse\n" + GOOD)
    assert [type(item) for item in read_rows(file)] == [RowError, SourceRow, RowError, SourceRow]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_a_huge_row_is_refused_in_little_memory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 2**20
    for module in ("source", "json_array", "csv_file"):
        monkeypatch.setattr(f"tunegate.sdk.data.{module}.MAX_ROW_BYTES", limit)
    start = {"a.jsonl": b'{"text": "', "a.csv": b"text\n", "a.json": b'[{"text": "'}[name]
    file = tmp_path / name
    file.write_bytes(start + b"x" * 40 * limit)
    tracemalloc.start()
    found = errors(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 1
    assert found[0].startswith(f"{name}:")
    assert peak < 16 * limit


def test_a_huge_quoted_csv_field_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunegate.sdk.data.csv_file.MAX_ROW_BYTES", 1000)
    file = tmp_path / "a.csv"
    file.write_bytes(b'text\n"' + b"line\n" * 1000)
    assert errors(file) == ["a.csv:2: not CSV: field larger than field limit (1000)"]


def test_a_gzip_bomb_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunegate.sdk.data.unzip.FREE_BYTES", 2**20)
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(GOOD * 500_000))
    items = list(read_rows(file))
    assert str(items[-1]) == "a.jsonl.gz: the gzip file unpacks to more than 200 times its size"
    assert all(isinstance(item, SourceRow) for item in items[:-1])
    assert len(items) * len(GOOD) < 201 * file.stat().st_size


def test_much_repeated_in_little_is_no_bomb(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(GOOD * 100_000))
    assert not errors(file)


def test_the_cap_is_32_mib() -> None:
    assert MAX_ROW_BYTES == source.MAX_ROW_BYTES == 33_554_432


def test_truncated_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [CANARY * 100] * 1000}), file)
    file.write_bytes(file.read_bytes()[:-100])
    assert errors(file) == ["a.parquet: not a readable parquet file"]


def test_damaged_pages_of_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": [f"{place:099}" for place in range(1000)]}),
        file,
        compression="zstd",
        use_dictionary=False,
    )
    data = bytearray(file.read_bytes())
    data[200:400] = b"\xff" * 200
    file.write_bytes(data)
    assert errors(file)


def _peak_of(path: Path) -> tuple[list[str], int]:
    """The errors of a file, and by how many bytes a process of its own grew that read it."""
    code = (
        "import sys, pyarrow.parquet, resource; from pathlib import Path;"
        "from tunegate.sdk.data import RowError, read_rows;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024; before = peak();"
        "found = [str(i) for i in read_rows(Path(sys.argv[1])) if isinstance(i, RowError)];"
        "print(peak() - before, *found, sep='\\n')"
    )
    argv = [sys.executable, "-c", code, str(path)]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return lines[1:], int(lines[0])


def test_one_huge_value_in_a_dictionary_for_many_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    values = pa.DictionaryArray.from_arrays(
        pa.array([0] * 500, pa.int32()), pa.array(["x" * 4_000_000])
    )
    pq.write_table(pa.table({"text": values}), file, compression="zstd")
    assert file.stat().st_size < 100_000
    found, grown = _peak_of(file)
    assert found == []
    assert grown < 600 * 2**20  # spelt out at once it would be 2 GB


def test_a_parquet_row_larger_than_any_row_may_be(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["fine", "x" * (MAX_ROW_BYTES + 1), "fine"]}), file)
    assert errors(file) == ["a.parquet:2: the row is longer than 33,554,432 bytes"]


def test_a_parquet_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    text = pa.table({"text": [f"{n % 7}" + "x" * 1_000_000 for n in range(70)]})
    pq.write_table(text, file, compression="zstd", use_dictionary=False)
    found, grown = _peak_of(file)
    assert found == ["a.parquet: the parquet file unpacks to more than 200 times its size"]
    assert grown < 50 * 2**20


def test_a_parquet_header_that_claims_much(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    # A schema of four milliard elements, as thrift writes it; before that, a footer longer than the file.
    schema = b"\x15\x02\x19\xfc\xff\xff\xff\xff\x0f"
    file.write_bytes(b"PAR1" + schema + b"\xff\xff\xff\x7fPAR1")
    assert errors(file) == ["a.parquet: not a readable parquet file"]
    file.write_bytes(b"PAR1" + schema + len(schema).to_bytes(4, "little") + b"PAR1")
    found, grown = _peak_of(file)
    assert found == ["a.parquet: not a readable parquet file"]
    assert grown < 50 * 2**20


def test_a_large_row_group_is_read_in_pages(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    text = [random.Random(n).randbytes(50_000).hex() for n in range(1000)]
    pq.write_table(pa.table({"text": text}), file, row_group_size=1000, use_dictionary=False)
    found, grown = _peak_of(file)
    assert found == []
    assert file.stat().st_size > 90 * 2**20
    assert grown < 60 * 2**20


@pytest.mark.parametrize(
    ("name", "data", "rows"),
    [
        ("empty.jsonl", b"", []),
        ("bom.jsonl", b"\xef\xbb\xbf", []),
        ("blank.jsonl", b"\n \r\n\t\n", []),
        ("empty.csv", b"", []),
        ("empty.json", b"[]", []),
        ("empty.jsonl.gz", gzip.compress(b""), []),
        ("crlf.jsonl", b'{"text": "a"}\r\n\r\n{"text": "b\\r\\n"}\r\n', ["a", "b\r\n"]),
        ("bom.jsonl", b'\xef\xbb\xbf{"text": "a"}\n', ["a"]),
        ("twice.jsonl", b'{"text": "a", "text": "b"}\n', ["b"]),
        ("twice.json", b'[{"text": "a", "text": "b"}]', ["b"]),
    ],
)  # fmt: skip
def test_odd_but_readable(tmp_path: Path, name: str, data: bytes, rows: list[str]) -> None:
    """Of a key that stands twice the last one counts, in either reader, as in Python and in browsers."""
    file = tmp_path / name
    file.write_bytes(data)
    assert [item.value["text"] for item in read_rows(file) if isinstance(item, SourceRow)] == rows
    assert not errors(file)


def test_deep_nesting_in_a_field_that_nobody_reads(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "a", "extra": ' + b"[" * 900 + b"]" * 900 + b"}\n" + GOOD)
    found = [type(item) for item in read_rows(file)]
    assert found == [SourceRow, SourceRow]


def test_parquet_extension_types_are_refused_even_inside_lists(tmp_path: Path) -> None:
    for number, kind in enumerate((pa.json_(), pa.list_(pa.json_()))):
        file = tmp_path / f"{number}.parquet"
        values = ['"a"'] if number == 0 else [['"a"']]
        storage = pa.array(values, pa.string() if number == 0 else pa.list_(pa.string()))
        pq.write_table(pa.table({"text": storage.cast(kind)}), file)
        assert errors(file) == [
            f"{number}.parquet: column text has an extension type; only plain types are read"
        ]


def test_parquet_without_a_known_column(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["x"], "x" * 200: ["y"]}), file)
    [message] = errors(file)
    assert message.startswith("a.parquet: the keys (body, 1 more) fit no known shape: text; prompt")


def test_an_array_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps([{"text": "x"}]).encode())
    assert list(read_rows(file)) == [SourceRow(line=1, value={"text": "x"})]
