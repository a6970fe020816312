"""What stores raise besides `TunegateError`."""

from tunegate.sdk.errors import TunegateError


class StoreUnsafe(Exception):
    """The database could lose acknowledged work here, so the store does not open. The message says what to change."""


def unavailable() -> TunegateError:
    """The database can't do it now: the disk is full, I/O failed, or the store is closed."""
    return TunegateError("unavailable", "The job store can't do this now.", retry_after_s=5.0)
