"""What follows from one try of a delivery. Pure: time and chance come in as values."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from tunegate.contract.base import Wire
from tunegate.control.records import Delivery
from tunegate.control.settings import WebhookSettings

QUICK_S = (0.5, 2.0)
"""The first waits: most trouble is short."""
PASSING_MAX_S = 300.0
"""A status that is not final waits no longer than this between tries: a newer one may stand behind it."""
STREAM_MAX_AGE_S = 600.0
"""A status stream is best effort: events that are not final are dropped when they could not be sent for so long."""
RETRY_AFTER_MAX_S = 86_400.0
JITTER = 0.2

_HOPELESS = frozenset({400, 405, 411, 413, 414, 415, 422, 431})
"""The receiver will never take these bytes."""


class Accepted(Wire):
    """It was taken."""


class Retry(Wire):
    """Try again at `at_ms`."""

    at_ms: int
    note: str


class Later(Wire):
    """The receiver has enough to do: no try was made, and none is counted."""

    at_ms: int


class Bury(Wire):
    """Give it up."""

    note: str
    deleted: bool = False
    """The receiver knew the job before and does not any more."""
    gone: bool = False
    """The receiver wants nothing of this job any more (410)."""
    refusal: str | None = None
    """Why the operator's rules forbid the address."""


Outcome = Accepted | Retry | Later | Bury


class Try(Wire):
    """One failed or answered try. `chance` is in [0, 1); `overtaken`: a newer row of the job waits behind this one."""

    delivery: Delivery
    now_ms: int
    chance: float
    overtaken: bool = False


def answered(this: Try, status: int, retry_after: str | None, settings: WebhookSettings) -> Outcome:
    """What a receiver's status means. Its body is never looked at."""
    delivery = this.delivery
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Accepted()
    note = f"HTTP {status}"
    gone = status == HTTPStatus.GONE
    if gone or (status == HTTPStatus.NOT_FOUND and delivery.follows_accepted):
        return Bury(note=note, deleted=delivery.follows_accepted, gone=gone)
    if status in _HOPELESS and not delivery.final:
        return Bury(note=note)
    return again(this, note, settings, retry_after_s(retry_after, this.now_ms))


def again(
    this: Try, note: str, settings: WebhookSettings, not_before_s: float | None = None
) -> Retry | Bury:
    """The next try, or none: the waits are used up, a newer status tells more, or the event is stale."""
    delivery = this.delivery
    waits = (*QUICK_S, *settings.schedule_s)
    if delivery.tries >= len(waits):
        return Bury(note=f"{note}; given up")
    if not delivery.final:
        if delivery.channel == "stream" and _age_s(this) > STREAM_MAX_AGE_S:
            return Bury(note=f"{note}; too old")
        if delivery.channel == "webhook" and this.overtaken and delivery.tries >= len(QUICK_S):
            return Bury(note=f"{note}; a newer status follows")
    wait_s = waits[delivery.tries] * (1 + JITTER * this.chance)
    if not delivery.final:
        wait_s = min(wait_s, PASSING_MAX_S)
    return Retry(at_ms=this.now_ms + int(max(wait_s, not_before_s or 0.0) * 1000), note=note)


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Seconds or an HTTP date, at most a day; None when absent or not understood."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, moment.timestamp() - now_ms / 1000), RETRY_AFTER_MAX_S)


def is_old(delivery: Delivery, now_ms: int, settings: WebhookSettings) -> bool:
    """Whether all its waits, one after the other, would be over by now; a stream's events are stale much sooner."""
    stale = delivery.channel == "stream" and not delivery.final
    most_s = STREAM_MAX_AGE_S if stale else sum(settings.schedule_s)
    return now_ms - delivery.created_ms > most_s * 1000


def _age_s(this: Try) -> float:
    return (this.now_ms - this.delivery.created_ms) / 1000
