"""Which receiver each job's messages go to, as far as this process has seen it: spares opening what is sealed."""

from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache
from urllib.parse import urlsplit

from tunegate.control.records import Channel
from tunegate.control.sealed import SealedCallbacks

REMEMBERED = 40_000
"""Receivers of jobs that are kept in mind; for others the sealed field says it."""
CHANNELS: tuple[Channel, ...] = ("webhook", "stream")
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@lru_cache(maxsize=256)  # urlsplit remembers as much
def endpoint_of(url: str) -> tuple[bool, str, int | None]:
    """Whether it is encrypted, host and port: what counts as one receiver."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    port = parts.port or _DEFAULT_PORTS.get(scheme)
    return scheme in ("https", "wss"), (parts.hostname or "").lower(), port


def address_of(callbacks: SealedCallbacks | None, channel: Channel) -> str | None:
    """Where messages of this kind go."""
    if callbacks is None:
        return None
    secret = callbacks.status_stream_url if channel == "stream" else callbacks.webhook_url
    return secret.reveal() if secret is not None else None


class Receivers:
    """By job and channel; only who they are, no address."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, Channel], Hashable] = OrderedDict()

    def note(self, uid: str, channel: Channel, url: str) -> Hashable:
        """The receiver of this address, kept as the job's."""
        endpoint = endpoint_of(url)
        self._known[uid, channel] = endpoint
        self._known.move_to_end((uid, channel))
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return endpoint

    def note_all(self, uid: str, callbacks: SealedCallbacks | None) -> None:
        """Both of a new job."""
        for channel in CHANNELS:
            url = address_of(callbacks, channel)
            if url is not None:
                self.note(uid, channel, url)

    def find(self, uid: str, channel: Channel) -> Hashable | None:
        return self._known.get((uid, channel))
