"""When to look at a job again. Pure helpers of the lifecycle."""

import zlib

from tunegate.control.actions import CancelRun, Wait
from tunegate.control.observation import Situation
from tunegate.control.records import AttemptRecord
from tunegate.sdk.launcher import FINISHED, RunState

QUICK_S = 0.5
"""Look again so soon when something is about to happen."""
PENDING_SHARE = 0.1
"""A run that has waited a minute is looked at again in six seconds: a long queue must not keep the gateway busy."""
PENDING_MAX_S = 15.0
"""The longest time between two looks at a run that waits; one that begins tells by itself."""
SURELY_S = 6.0
"""Two looks at a run that its engine does not know lie at least so far apart, however often engines are asked: their lists
lag behind by seconds.
"""
SETTLE_S = 2.0
"""How long the trainer's last words may still be under way after the engine said that the run is over."""
RESEND_CANCEL_S = 30.0
"""Ask the engine to stop once more so long after the grace has passed."""
RECOVERY_DELAY_S = 5.0
"""Before the second attempt; it doubles with every further one."""
RECOVERY_DELAY_MAX_S = 300.0
RECOVERY_SPREAD = 0.5
"""Up to so much of the delay is added."""


def after(now: Situation, delay_s: float) -> int:
    return now.now_ms + int(delay_s * 1000)


def soon(now: Situation) -> Wait:
    """Something is about to happen."""
    return Wait(until_ms=after(now, min(QUICK_S, now.settings.poll_interval_s)))


def later(now: Situation, reason: str | None = None) -> Wait:
    """One poll interval, because all is well or because the engine does not answer."""
    return Wait(until_ms=after(now, now.settings.poll_interval_s), reason=reason)


def patiently(now: Situation, since_ms: int) -> Wait:
    """The run has waited in its engine's queue since then."""
    waited_s = max(0, now.now_ms - since_ms) / 1000
    return Wait(until_ms=after(now, min(max(QUICK_S, waited_s * PENDING_SHARE), PENDING_MAX_S)))


def recovery_delay_s(attempt: AttemptRecord) -> float:
    """How long to wait after this attempt. Runs that a lost node took down together come back apart, each at a moment
    that follows from its name: a restarted gateway arrives at the same one.
    """
    delay_s = min(RECOVERY_DELAY_S * 2.0 ** min(attempt.number - 1, 16), RECOVERY_DELAY_MAX_S)
    return delay_s * (1 + RECOVERY_SPREAD * zlib.crc32(attempt.run_name.encode()) / 2**32)


def surely_absent(now: Situation) -> bool:
    """The engine knew no such run in two looks, well apart: an answer may be older than the run."""
    since_ms = now.attempt.absent_since_ms if now.attempt is not None else None
    apart_s = max(now.settings.poll_interval_s, SURELY_S)
    return since_ms is not None and not now.within(since_ms, apart_s)


def is_settling(now: Situation) -> bool:
    """The run is over, and the trainer's last word may still be under way."""
    attempt = now.attempt
    if attempt is None or now.last_word is not None:
        return False
    return now.within(attempt.ended_since_ms or attempt.absent_since_ms, SETTLE_S)


def until_over(now: Situation, *, submitted: bool) -> CancelRun | Wait | None:
    """What to do until the engine says that the run is over; None = it is."""
    run = now.seen.run
    if run is None:
        return later(now, now.seen.trouble)
    if run.state in FINISHED:
        return None
    if run.state is RunState.ABSENT:
        return soon(now) if submitted and not surely_absent(now) else None
    asked_ms = now.attempt.cancelled_ms if now.attempt is not None else None
    if now.within(asked_ms, now.settings.grace_s + RESEND_CANCEL_S):
        return soon(now)
    return CancelRun()
