"""When to ask again, and how long to wait before. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tunegate.contract.base import Wire

_ALWAYS = frozenset({408, 429, 503})
"""The gateway did nothing, or says that the same request again is safe."""
_WHERE_SAFE = frozenset({500, 502, 504})


class Retrying(Wire):
    """How patient a client is. Pauses double from `first_s` to `longest_s`, give or take a half."""

    tries: int = 5
    first_s: float = 0.25
    longest_s: float = 8.0
    patience_s: float = 60.0
    """A `retry-after` beyond this is not waited for."""

    def pause_s(self, failures: int, retry_after_s: float | None, chance: float) -> float | None:
        """The pause after so many failures in a row (≥ 1); None = give up. `chance` is in [0, 1)."""
        if failures >= self.tries:
            return None
        if retry_after_s is not None:
            return retry_after_s if retry_after_s <= self.patience_s else None
        return min(self.longest_s, self.first_s * 2.0 ** (failures - 1)) * (0.5 + chance)


def may_retry(status: int, headers: Mapping[str, str], *, safe: bool) -> bool:
    """Whether this answer may change when asked again. `safe`: the call done twice is as good as done once."""
    said = headers.get("x-should-retry", "").lower()
    if said in {"true", "false"}:
        return said == "true"
    return status in _ALWAYS or (safe and status in _WHERE_SAFE)


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds or an HTTP date; None where there is none that can be read."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
