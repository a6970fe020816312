"""Headers of safetensors files that mean harm: one clear code, little memory."""

import tracemalloc
from pathlib import Path

import pytest

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.tensor_files import read_entries


def _refused(file: Path) -> None:
    with pytest.raises(TunegateError) as caught:
        read_entries(file)
    assert caught.value.code == "model_invalid"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xff",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [1]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_headers_that_are_none(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    _refused(file)


@pytest.mark.parametrize("length", [2**63, 10 * 2**30])
def test_a_header_of_gigabytes_is_not_read(tmp_path: Path, length: int) -> None:
    file = tmp_path / "model.safetensors"
    with file.open("wb") as out:
        out.write(length.to_bytes(8, "little"))
        out.truncate(20 * 2**30)  # a hole: it takes no place on the disk
    tracemalloc.start()
    try:
        _refused(file)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
