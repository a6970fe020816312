"""Times as clients read them."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=1024)  # one moment is written into a job, its event and its messages
def rfc3339(at_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC: `2030-01-31T12:00:00.250Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
