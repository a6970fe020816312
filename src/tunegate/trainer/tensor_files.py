"""Safetensors files read and written one tensor at a time, so that a model of any size passes through little memory."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from tunegate.contract.base import Wire
from tunegate.sdk.errors import TunegateError

SHARD_BYTES = 5 * 10**9
"""Result files hold at most this much, unless one tensor alone is larger."""
MAX_HEADER_BYTES = 100 * 10**6
"""What the format allows; a header of more would only fill the memory."""
COPY_BYTES = 16 * 2**20
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
}  # fmt: skip
"""The dtypes of weights that can be computed with."""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Entry(Wire):
    """A tensor in a file: bytes [start, stop) of `file`."""

    name: str
    dtype: str
    shape: list[int]
    file: Path
    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


def read_entries(file: Path) -> list[Entry]:
    """What the file's header says, in the order of the data. Raises TunegateError model_invalid."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > min(file.stat().st_size, MAX_HEADER_BYTES):
            raise TunegateError("model_invalid", f"The file {file.name} is no safetensors.")
        content = opened.read(length)
    begin = 8 + length
    try:
        found = [
            Entry(
                name=name, dtype=about["dtype"], shape=about["shape"], file=file,
                start=begin + about["data_offsets"][0], stop=begin + about["data_offsets"][1],
            )
            for name, about in json.loads(content).items() if name != "__metadata__"
        ]  # fmt: skip
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise TunegateError("model_invalid", f"The file {file.name} is no safetensors.") from error
    return sorted(found, key=lambda entry: entry.start)


def read_tensor(entry: Entry) -> Tensor:
    """The tensor in its own dtype. Raises KeyError for one that can't be computed with."""
    content = torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
    with entry.file.open("rb") as file:
        file.seek(entry.start)
        file.readinto(_bytes_of(content))
    return content


def write_shards(
    folder: Path,
    entries: list[Entry],
    changed: Callable[[Entry], Tensor | None],
    largest_bytes: int,
) -> None:
    """Write a model's files: each tensor as `changed` gives it, or as it stands in its file (None).

    A changed tensor keeps its dtype and shape. One file is called model.safetensors; several have an index.
    """
    shards = list(_shards(entries, largest_bytes))
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        name = "model.safetensors" if len(shards) == 1 else name
        _write(folder / name, shard, changed)
        places |= {entry.name: name for entry in shard}
    if len(shards) > 1:
        total = sum(entry.size_bytes for entry in entries)
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _shards(entries: list[Entry], largest_bytes: int) -> Iterator[list[Entry]]:
    shard: list[Entry] = []
    size = 0
    for entry in entries:
        if shard and size + entry.size_bytes > largest_bytes:
            yield shard
            shard, size = [], 0
        shard.append(entry)
        size += entry.size_bytes
    if shard:
        yield shard


def _write(file: Path, shard: list[Entry], changed: Callable[[Entry], Tensor | None]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in shard:
        end = offset + entry.size_bytes
        header[entry.name] = {
            "dtype": entry.dtype, "shape": entry.shape, "data_offsets": [offset, end],
        }  # fmt: skip
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for entry in shard:
            tensor = changed(entry)
            if tensor is None:
                _copy(entry, out)
            else:
                if _NAMES[tensor.dtype] != entry.dtype or list(tensor.shape) != entry.shape:
                    raise ValueError(f"{entry.name} changed its form")
                out.write(_bytes_of(tensor.contiguous()))


def _copy(entry: Entry, out: BinaryIO) -> None:
    left = entry.size_bytes
    with entry.file.open("rb") as file:
        file.seek(entry.start)
        while left:
            chunk = file.read(min(left, COPY_BYTES))
            if not chunk:
                raise TunegateError("model_invalid", f"The file {entry.file.name} is torn.")
            out.write(chunk)
            left -= len(chunk)


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
