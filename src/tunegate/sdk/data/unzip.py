"""Gzip files as streams, with a limit: a small file may not unpack to fill the disk."""

import gzip
import io
from typing import IO, cast

MAX_RATIO = 200
"""Unpacked over packed size: text gives 3 to 20, deflate can do 1000."""
FREE_BYTES = 64 * 2**20
"""Unpacked bytes that are always allowed; short files of one repeated line are harmless."""


class TooLarge(Exception):
    """The file unpacks to more than data would."""


class Unzipped(io.RawIOBase):
    """The unpacked bytes of a gzip file of `packed_bytes`. Reading raises TooLarge, and what gzip raises for damage."""

    def __init__(self, packed: IO[bytes], packed_bytes: int) -> None:
        self._stream = gzip.GzipFile(fileobj=packed)
        self._left = max(FREE_BYTES, packed_bytes * MAX_RATIO)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview", /) -> int:  # type: ignore[override]
        """At most as much as the limit leaves."""
        count = cast("io.RawIOBase", self._stream).readinto(buffer) or 0
        self._left -= count
        if self._left < 0:
            raise TooLarge
        return count
