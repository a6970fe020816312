"""Bytes of the system's generator, fetched many at a time: a call into the kernel for each would cost more than its use."""

import os
import threading

_FETCHED = 4096


class _Pool:
    """What was fetched and not yet given away; nothing is given twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        if count > _FETCHED:
            return os.urandom(count)
        with self._lock:
            if self._at + count > len(self._bytes):
                self._bytes, self._at = os.urandom(_FETCHED), 0
            taken = self._bytes[self._at : self._at + count]
            self._at += count
            return taken

    def forget(self) -> None:
        """A forked process must not give what its parent gives."""
        self._lock = threading.Lock()
        self._bytes, self._at = b"", 0


_pool = _Pool()
os.register_at_fork(after_in_child=_pool.forget)
random_bytes = _pool.take
