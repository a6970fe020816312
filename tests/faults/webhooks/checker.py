"""What must hold of a campaign against receivers in trouble, read off the receivers' own log."""

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

Line = tuple[int, str, str, str, int]
"""[ms, receiver, webhook-id, hash of the body, status or 0]"""
MOST_P99_MS = 1000


@dataclass(frozen=True)
class Due:
    """A webhook that was to be sent: to whom, when it might leave, and its place in the job."""

    receiver: str
    not_before_ms: int
    uid: str
    sequence: int
    final: bool


def violations(log: list[Line], due: dict[str, Due]) -> list[str]:
    """Finals that never came, statuses out of order, other bytes in a retry, repeats after a 2xx, slow first tries."""
    found: list[str] = []
    accepted: dict[str, int] = {}
    bodies: dict[str, str] = {}
    order: dict[str, list[int]] = defaultdict(list)
    for at_ms, _, name, body, status in sorted(log):
        if name in accepted:
            found.append(f"{name}: sent again after it was taken")
        if bodies.setdefault(name, body) != body:
            found.append(f"{name}: a retry with other bytes")
        if 200 <= status < 300:
            accepted[name] = at_ms
            order[due[name].uid].append(due[name].sequence)
    found += [f"{name}: lost" for name, row in due.items() if row.final and name not in accepted]
    for uid, sequences in order.items():
        if any(late < early for early, late in pairwise(sequences)):
            found.append(f"{uid}: statuses out of order: {sequences}")
    p99_ms = first_try_p99_ms(log, due)
    if p99_ms > MOST_P99_MS:
        found.append(f"healthy receivers waited {p99_ms:.0f} ms for their first try (p99)")
    return found


def first_try_p99_ms(log: list[Line], due: dict[str, Due]) -> float:
    """From the moment a webhook to a healthy receiver might leave to its arrival there."""
    firsts: dict[str, int] = {}
    for at_ms, receiver, name, _, _ in sorted(log):
        if receiver.startswith("ok-"):
            firsts.setdefault(name, at_ms)
    waits = sorted(at_ms - due[name].not_before_ms for name, at_ms in firsts.items())
    return waits[math.ceil(0.99 * len(waits)) - 1] if waits else math.inf
