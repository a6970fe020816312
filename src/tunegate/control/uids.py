"""Names of new jobs: they grow with time, so that the rows of jobs that come together lie together in every index."""

import base64

from tunegate.control.randomness import random_bytes

_TIME_BYTES, _CHANCE_BYTES = 6, 6


def new_uid(now_ms: int) -> str:
    """20 of [0-9a-v] that sort by time: ms since 1970, then 48 bits of chance."""
    raw = now_ms.to_bytes(_TIME_BYTES, "big") + random_bytes(_CHANCE_BYTES)
    return base64.b32hexencode(raw).decode().rstrip("=").lower()
