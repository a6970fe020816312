"""How much may be under way at once. What is beyond is turned away at the door, where that costs next to nothing."""

import time
from collections.abc import Callable
from typing import Any

from tunegate.sdk.errors import TunegateError

RETRY_AFTER_S = 1.0
_HELD = "body_bytes"
_BREAK_S = 2.0
"""So long without a refusal, and the pressure is over."""


class Pressure:
    """Counts requests and the bytes of their bodies. Everything happens on the event loop."""

    def __init__(
        self,
        max_requests: int,
        max_body_bytes: int,
        unready_s: float = 10.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_requests = max_requests
        self._max_body_bytes = max_body_bytes
        self._unready_s = unready_s
        self._now_s = now_s
        self._refusing_since_s = 0.0
        self._refused_at_s = float("-inf")
        self.requests = 0
        self.body_bytes = 0
        self.refused = 0

    def enter(self) -> None:
        """One more request. Raises `unavailable`; whoever got in must `leave`."""
        if self.requests >= self._max_requests:
            raise self._refusal()
        self.requests += 1

    def hold(self, state: dict[str, Any], length: int) -> None:
        """So many more bytes of this request's body are in memory. Raises `unavailable`."""
        if self.body_bytes + length > self._max_body_bytes:
            raise self._refusal()
        self.body_bytes += length
        state[_HELD] = state.get(_HELD, 0) + length

    def leave(self, state: dict[str, Any]) -> None:
        """A request that got in is over, or goes on as a stream: its body is let go."""
        self.requests -= 1
        self.body_bytes -= state.pop(_HELD, 0)

    def trouble(self) -> str | None:
        """One sentence when requests have been turned away for long: send load to other replicas."""
        now_s = self._now_s()
        goes_on = now_s - self._refused_at_s < _BREAK_S
        if goes_on and now_s - self._refusing_since_s >= self._unready_s:
            return "The gateway is turning requests away: it has more than it can do."
        return None

    def _refusal(self) -> TunegateError:
        now_s = self._now_s()
        if now_s - self._refused_at_s >= _BREAK_S:
            self._refusing_since_s = now_s
        self._refused_at_s = now_s
        self.refused += 1
        return TunegateError(
            "unavailable", "Too many requests are under way.", retry_after_s=RETRY_AFTER_S
        )
