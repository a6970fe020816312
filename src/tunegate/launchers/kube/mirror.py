"""A local copy of a kind of object: a list, kept current by a watch, and listed anew before it grows old."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.errors import ApiError
from tunegate.launchers.kube.objects import Thing
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable

T = TypeVar("T", bound=Thing)
WATCH_S = 45
"""A watch is ended by the server after this, so that a connection which died unseen is found out."""
AGAIN_S = 1.0
GONE = 410


class Notice(msgspec.Struct, frozen=True):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class Mirror(Generic[T]):
    """`current()` before you read. The watch is a hint: without it, every question becomes a list.

    With `remember` the last word of a deleted object is kept in `departed` until `forget`.
    """

    def __init__(
        self,
        client: KubeClient,
        path: str,
        selector: str,
        kind: type[T],
        *,
        clock: Clock,
        resync_s: float,
        remember: bool = False,
    ) -> None:
        self._client = client
        self._path = path
        self._selector = selector
        self._kind = kind
        self._clock = clock
        self._resync_s = resync_s
        self._remember = remember
        self.items: dict[str, T] = {}
        self.departed: dict[str, T] = {}
        self._version = ""
        self._listed_s: float | None = None
        self._watching = False
        self._listing: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def current(self) -> None:
        """Make the copy good. Raises EngineUnavailable when it is not and can't be made so."""
        if self._watch is None:
            self._watch = asyncio.create_task(self._follow())
        if not self._is_good():
            await self.sync()

    async def sync(self) -> None:
        """List anew; questions that come meanwhile share the answer."""
        if self._listing is None:
            self._listing = asyncio.create_task(self._list())
            self._listing.add_done_callback(self._listed)
        await asyncio.shield(self._listing)

    def put(self, item: T) -> None:
        """A newer state of an object, as an answer to a write gave it."""
        known = self.items.get(item.metadata.name)
        if known is None or _number(known) <= _number(item):
            self.items[item.metadata.name] = item

    def forget(self, name: str) -> None:
        self.departed.pop(name, None)

    async def close(self) -> None:
        for task in (self._watch, self._listing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, EngineUnavailable):
                    await task
        self._watch = None

    def _is_good(self) -> bool:
        if self._listed_s is None or not self._watching:
            return False
        return self._clock.monotonic_s() - self._listed_s < self._resync_s

    async def _list(self) -> None:
        try:
            listing = await self._client.list(self._path, self._kind, labelSelector=self._selector)
        except ApiError as error:
            raise EngineUnavailable(f"The API server refuses to list: {error.message}") from error
        now = {item.metadata.name: item for item in listing.items}
        if self._remember:
            self.departed |= {name: one for name, one in self.items.items() if name not in now}
        self.items = now
        self._version = listing.resource_version
        self._listed_s = self._clock.monotonic_s()

    def _listed(self, task: asyncio.Task[None]) -> None:
        self._listing = None
        if not task.cancelled():
            task.exception()  # whoever asked has been told

    async def _follow(self) -> None:
        """Watch for ever; whatever breaks it, a list comes before the next."""
        while True:
            try:
                if not self._version:
                    await self.sync()
                self._watching = True
                async for notice in self._notices():
                    self._take(notice)
                continue
            except (EngineUnavailable, ApiError, msgspec.MsgspecError):
                self._version = ""
            finally:
                self._watching = False
            await self._clock.sleep(AGAIN_S)

    async def _notices(self) -> AsyncIterator[Notice]:
        buffer = b""
        async for chunk in self._client.stream(
            self._path, watch="true", allowWatchBookmarks="true", labelSelector=self._selector,
            resourceVersion=self._version, timeoutSeconds=str(WATCH_S),
        ):  # fmt: skip
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield msgspec.json.decode(line, type=Notice)

    def _take(self, notice: Notice) -> None:
        if notice.type == "ERROR":
            raise ApiError(GONE, "Expired", "the watch is too old")
        item = msgspec.json.decode(notice.object, type=self._kind)
        name, number = item.metadata.name, _number(item)
        if self._version.isdigit() and number <= int(self._version):
            return  # a list has told it already
        self._version = item.metadata.resource_version
        if notice.type == "DELETED":
            self.items.pop(name, None)
            if self._remember:
                self.departed[name] = item
        elif notice.type != "BOOKMARK":
            self.put(item)


def _number(item: Thing) -> int:
    version = item.metadata.resource_version
    return int(version) if version.isdigit() else 0
