"""Gateways of one machine that share a state folder take turns with its runs."""

import fcntl
import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 10.0
_LOOK_AGAIN_S = 0.005
_NOBODY = b"-" * 16


class Turn:
    """A lock beside the runs that says who held it last.

    Nobody did, while somebody does: whoever fails half way, or is killed, has no idea of the runs that he could go by.
    """

    def __init__(self, runs: Path) -> None:
        self._path = runs.with_name(runs.name + ".lock")
        self._me = secrets.token_hex(8).encode()

    @contextmanager
    def taken(self) -> Generator[bool]:
        """Hold it; the value says whether another gateway held it meanwhile: then all must be read anew.

        Raises OSError when the folder can't be used, or another gateway does not let go (it may be frozen).
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(lock)
            is_news = os.pread(lock, len(self._me), 0) != self._me
            os.pwrite(lock, _NOBODY, 0)
            yield is_news
            os.pwrite(lock, self._me, 0)
        finally:
            os.close(lock)


def _lock(descriptor: int) -> None:
    give_up_s = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(_LOOK_AGAIN_S)
