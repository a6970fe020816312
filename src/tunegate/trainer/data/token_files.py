"""The files behind a `TokenStore`: examples are appended, then mapped into memory."""

import hashlib
import os
from contextlib import ExitStack
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
        self._new: list[tuple[int, ...]] = []
        with ExitStack() as stack:
            sizes = {_IDS: 4 * tokens, _MASK: tokens, _ROWS: ROW.itemsize * rows}
            self._ids, self._mask, self._index = (
                stack.enter_context(_open(folder / name, size)) for name, size in sizes.items()
            )
            self._open_files = stack.pop_all()

    def add(
        self,
        ids: NDArray[np.int32],
        mask: NDArray[np.bool_],
        *,
        file: int,
        line: int,
        source: int,
        chosen: int = 0,
    ) -> None:
        """One example; `file` and `source` index the store's `files` and `weights`; `chosen` as in ROW."""
        data = ids.tobytes()
        digest = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
        targets = int(np.count_nonzero(mask))
        self._new.append((self.tokens, len(ids), targets, line, file, source, digest, chosen))
        self._ids.write(data)
        self._mask.write(mask.tobytes())
        self.rows += 1
        self.tokens += len(ids)

    def flush(self) -> None:
        """Give the examples so far to the files."""
        self._index.write(np.array(self._new, ROW).tobytes())
        self._new.clear()
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
