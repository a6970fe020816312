"""Catches code that acts where it should only compute."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

_EFFECTS = ("open", "os.", "shutil.", "socket.", "subprocess.", "tempfile.", "urllib.")


class ImpureError(AssertionError):
    """A pure function touched the world."""


class _Watch:
    """An audit hook stays for the life of the process, so there is one, asleep most of the time."""

    def __init__(self) -> None:
        self.awake = False
        self.installed = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.awake and event.startswith(_EFFECTS):
            self.awake = False
            raise ImpureError(f"a pure function did {event} {args[:1]!r}")


_WATCH = _Watch()


@contextmanager
def forbid_effects() -> Generator[None]:
    """Opening files, sockets and processes raises ImpureError inside."""
    if not _WATCH.installed:
        sys.addaudithook(_WATCH)
        _WATCH.installed = True
    _WATCH.awake = True
    try:
        yield
    finally:
        _WATCH.awake = False
