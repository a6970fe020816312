"""The database's time, known between two questions to it."""

import time

PRECISE_S = 0.05
"""An answer that took longer says too little of when it was given."""
STALE_S = 30.0


class DatabaseClock:
    """The database's clock as this machine's monotonic one plus what lies between; every transaction sets it right."""

    def __init__(self) -> None:
        self._offset_ms: float | None = None
        self._set_s = 0.0

    def observe(self, database_ms: int, began_s: float, ended_s: float) -> None:
        """The database said `database_ms` at some moment between the two."""
        is_stale = ended_s - self._set_s > STALE_S
        if self._offset_ms is None or is_stale or ended_s - began_s <= PRECISE_S:
            self._offset_ms = database_ms - 500 * (began_s + ended_s)
            self._set_s = ended_s

    def now_ms(self) -> int:
        """This machine's wall time until the database was heard."""
        if self._offset_ms is None:
            return time.time_ns() // 1_000_000
        return int(time.monotonic() * 1000 + self._offset_ms)
