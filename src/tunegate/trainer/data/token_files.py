"""The files behind a `TokenStore`: examples are appended, then mapped into memory."""

import hashlib
import os
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tunegate.trainer.data.tokens import ROW, TokenStore

_IDS, _MASK, _ROWS = "ids", "mask", "rows"


class TokenFiles:
    """Three files of one split: token ids (int32), mask (a byte per token) and one ROW per example.

    Examples are in the files for certain after `sync`.
    """

    def __init__(self, folder: Path, rows: int = 0, tokens: int = 0) -> None:
        """Go on behind the first `rows` examples with their `tokens`; what stands behind them is cut off.

        Raises ValueError when the files hold less.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self.rows = rows
        self.tokens = tokens
        with ExitStack() as stack:
            sizes = {_IDS: 4 * tokens, _MASK: tokens, _ROWS: ROW.itemsize * rows}
            self._ids, self._mask, self._index = (
                stack.enter_context(_open(folder / name, size)) for name, size in sizes.items()
            )
            self._open_files = stack.pop_all()

    def add(self, ids: NDArray[np.int32], mask: NDArray[np.bool_], rows: NDArray[Any]) -> None:
        """Examples, one behind the other, and a ROW of each; its `start` and `digest` are filled in here."""
        ends = np.cumsum(rows["length"], dtype=np.int64)
        rows["start"] = self.tokens + ends - rows["length"]
        data = ids.tobytes()
        borders = pairwise([0, *(4 * ends).tolist()])
        rows["digest"] = [_digest(data[start:end]) for start, end in borders]
        for file, content in ((self._ids, data), (self._mask, mask), (self._index, rows)):
            file.write(content)
        self.rows += len(rows)
        self.tokens += len(ids)

    def flush(self) -> None:
        """Give the examples so far to the files."""
        for file in (self._ids, self._mask, self._index):
            file.flush()

    def sync(self) -> None:
        """Flush, and wait until the disk has it."""
        self.flush()
        for file in (self._ids, self._mask, self._index):
            os.fsync(file.fileno())

    def close(self) -> None:
        """Stores that were made stay good."""
        self._open_files.close()

    def store(self, files: tuple[str, ...], weights: tuple[float, ...]) -> TokenStore:
        """All examples up to the last flush, read through memory maps."""
        return TokenStore(
            ids=_mapped(self._folder / _IDS, np.int32),
            mask=_mapped(self._folder / _MASK, np.bool_),
            rows=_mapped(self._folder / _ROWS, ROW),
            files=files,
            weights=weights,
        )


def _digest(ids: bytes) -> int:
    """64 bits that are the same for the same tokens."""
    return int.from_bytes(hashlib.blake2b(ids, digest_size=8).digest(), "little")


def _open(path: Path, size_bytes: int) -> Any:
    """The file, cut to this size and ready for more."""
    path.touch(mode=0o600)
    if path.stat().st_size < size_bytes:
        raise ValueError(f"{path.name} holds less than {size_bytes:,} bytes")
    file = path.open("r+b")
    file.truncate(size_bytes)
    file.seek(size_bytes)
    return file


def _mapped(path: Path, kind: DTypeLike) -> NDArray[Any]:
    """An empty file can't be mapped."""
    if not path.stat().st_size:
        return np.zeros(0, kind)
    # A plain view: the subclass would make every slice slower.
    return np.memmap(path, dtype=kind, mode="r").view(np.ndarray)
