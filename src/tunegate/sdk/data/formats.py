"""From a file (or its first bytes) to rows: which format it is, and the reader for it."""

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import BinaryIO, Literal, cast

from tunegate.contract.request import DatasetFormat
from tunegate.sdk.data.csv_file import read_csv
from tunegate.sdk.data.json_array import read_json_array
from tunegate.sdk.data.jsonl import read_jsonl
from tunegate.sdk.data.parquet import read_parquet
from tunegate.sdk.data.source import BOM, MAX_ROW_BYTES, RowError, Rows
from tunegate.sdk.data.unzip import MAX_RATIO, TooLarge, Unzipped

FileKind = Literal["jsonl", "json", "csv", "parquet"]

_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_HEAD_BYTES = 4096
_SUFFIXES: dict[str, FileKind] = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "json",
    "csv": "csv",
    "parquet": "parquet",
}
_UNKNOWN = "the format is not known: JSONL, a JSON array, CSV with a header and parquet can be read"


def detect(name: str, head: bytes, declared: DatasetFormat = "auto") -> FileKind | None:
    """The kind of a file: as declared, else by its name, else by its first bytes (already unzipped).

    JSON that starts with a bracket is an array whatever it is called. None when nothing fits.
    """
    start = head.removeprefix(BOM).lstrip()
    kind = cast("FileKind | None", None if declared in {"auto", "hf"} else declared)
    kind = kind or _by_name(name) or _by_bytes(head, start)
    if kind in {"jsonl", "json"}:
        return "json" if start.startswith(b"[") else "jsonl"
    return kind


def read_rows(path: Path, *, name: str | None = None, declared: DatasetFormat = "auto") -> Rows:
    """Rows of a local file, streamed; gzip is unpacked on the way. `name` is what errors call the file.

    A bad row is a RowError in its place; where reading can't go on, an error is the last item. Raises OSError
    when the file can't be opened.
    """
    label = name or path.name
    with path.open("rb") as raw:
        zipped = raw.peek(2)[:2] == _GZIP_MAGIC
        stream = Unzipped(raw, path.stat().st_size) if zipped else cast("io.RawIOBase", raw)
        with io.BufferedReader(stream) as buffered:
            try:
                head = buffered.peek(_HEAD_BYTES)[:_HEAD_BYTES]
                yield from _rows(buffered, label, detect(label, head, declared), cut=False)
            except (gzip.BadGzipFile, EOFError, zlib.error):
                yield RowError(file=label, line=0, reason="the gzip file is damaged")
            except TooLarge:
                reason = f"the gzip file unpacks to more than {MAX_RATIO} times its size"
                yield RowError(file=label, line=0, reason=reason)


def sample_rows(
    head: bytes, *, name: str, declared: DatasetFormat = "auto", whole: bool = False
) -> Rows:
    """Rows in the first bytes of a file; a row that is cut at the end is left out.

    `whole`: these bytes are the whole file. A parquet file keeps its index at the end, so it gives no rows
    unless it is whole.
    """
    if head.startswith(_GZIP_MAGIC):
        try:
            unzip = zlib.decompressobj(wbits=31)
            head = unzip.decompress(head, MAX_ROW_BYTES)
        except zlib.error:
            yield RowError(file=name, line=0, reason="the gzip file is damaged")
            return
        whole = whole and unzip.eof
    kind = detect(name, head[:_HEAD_BYTES], declared)
    if kind != "parquet" or whole:
        yield from _rows(io.BytesIO(head), name, kind, cut=not whole)


def _rows(stream: BinaryIO, name: str, kind: FileKind | None, *, cut: bool) -> Rows:
    match kind:
        case "jsonl":
            yield from read_jsonl(stream, name, cut=cut)
        case "json":
            yield from read_json_array(stream, name, cut=cut)
        case "csv":
            yield from read_csv(stream, name, cut=cut)
        case "parquet":
            yield from read_parquet(stream, name)
        case None:
            yield RowError(file=name, line=0, reason=_UNKNOWN)


def _by_name(name: str) -> FileKind | None:
    match = re.search(r"\.(\w+)(\.gz)?$", name.lower())
    return _SUFFIXES.get(match[1]) if match else None


def _by_bytes(head: bytes, start: bytes) -> FileKind | None:
    if head.startswith(_PARQUET_MAGIC):
        return "parquet"
    if start[:1] in {b"{", b"["}:
        return "jsonl"
    first, _, _ = start.partition(b"\n")
    if b"," in first and first.isascii() and first.rstrip(b"\r").decode("ascii").isprintable():
        return "csv"
    return None
