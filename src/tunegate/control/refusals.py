"""Calls that were refused for their token: counted in memory and written down now and then, so that an attacker who
knocks a million times fills a few lines of the audit log and not the disk.
"""

from collections import Counter
from typing import NamedTuple

from tunegate.control.audit import Happening

KINDS_KEPT = 16
"""Different refusals told apart between two writes; what comes beyond is one line."""


class Refusal(NamedTuple):
    """`token` is the holder's name for it, empty when the token was none. Routes come from a fixed set."""

    status: int
    method: str
    route: str
    tenant: str
    token: str


OTHERS = Refusal(0, "", "", "", "")


class Refusals:
    """Bounded, whatever comes."""

    def __init__(self) -> None:
        self._counts: Counter[Refusal] = Counter()

    def note(self, refusal: Refusal) -> None:
        known = refusal in self._counts or len(self._counts) < KINDS_KEPT
        self._counts[refusal if known else OTHERS] += 1

    def drain(self) -> list[Happening]:
        """What was refused since the last time."""
        counts, self._counts = self._counts, Counter()
        return [_told(refusal, count) for refusal, count in counts.items()]


def _told(refusal: Refusal, count: int) -> Happening:
    if refusal == OTHERS:
        return Happening(kind="call.refused", data={"count": count, "route": "several"})
    return Happening(
        kind="call.refused",
        tenant=refusal.tenant,
        data={
            "count": count,
            "method": refusal.method,
            "route": refusal.route,
            "status": refusal.status,
            "token": refusal.token,
        },
    )
