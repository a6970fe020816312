"""The log of a pod, and the copy that is kept where the pod goes before its run is cleaned up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.errors import ApiError
from tunegate.launchers.kube.names import CONTAINER
from tunegate.sdk.launcher import EngineUnavailable

ReadLog = Callable[[int, bool], AsyncIterator[bytes]]
"""A log from a byte on; whether to follow it to its end."""
CHUNK_BYTES = 64 * 1024
CATCH_UP_S = 2.0


async def pod_log(
    client: KubeClient,
    namespace: str,
    pod: str,
    *,
    follow: bool,
    offset: int,
    container: str = CONTAINER,
) -> AsyncIterator[bytes]:
    """The log from byte `offset`. A pod that is gone, or whose container has not begun, has said nothing."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    query = {"container": container, **({"follow": "true"} if follow else {})}
    skip = offset
    try:
        async for chunk in client.stream(path, **query):
            if skip < len(chunk):
                yield chunk[skip:]
            skip = max(0, skip - len(chunk))
    except ApiError as error:
        if error.code not in (400, 404):
            raise


async def read_file(path: Path, offset: int) -> AsyncIterator[bytes]:
    """A kept log from byte `offset`; a missing file is an empty one."""

    def part(position: int) -> bytes:
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(position)
            return file.read(CHUNK_BYTES)
        return b""

    while chunk := await asyncio.to_thread(part, offset):
        yield chunk
        offset += len(chunk)


class LogKeeper:
    """Copies of logs below `folder`, written while their pods are being stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def is_kept(self, name: str) -> bool:
        """There is a copy, whole or growing."""
        return name in self._tasks or self.path(name).exists()

    async def keep(self, name: str, read: ReadLog) -> None:
        """Copy a log from its first byte to its end; returns once the copy is under way."""
        if self.is_kept(name):
            return
        begun = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._copy(name, read, begun))
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                await begun.wait()

    async def remove(self, name: str) -> None:
        await self._end(name)
        await asyncio.to_thread(self.path(name).unlink, missing_ok=True)

    async def wait(self, name: str) -> None:
        """Until the copy is whole."""
        task = self._tasks.get(name)
        if task is not None:
            await asyncio.wait([task])

    async def close(self) -> None:
        for name in list(self._tasks):
            await self._end(name)

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _copy(self, name: str, read: ReadLog, begun: asyncio.Event) -> None:
        """Followed, and read once more: a stream that breaks as its pod ends may lack the last words. No words, no copy."""
        offset = 0
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.path(name).open("wb") as file:
                for follow in (True, False):
                    with suppress(EngineUnavailable):
                        async for chunk in read(offset, follow):
                            await asyncio.to_thread(file.write, chunk)
                            await asyncio.to_thread(file.flush)
                            offset += len(chunk)
                            begun.set()
        finally:
            if not offset:
                self.path(name).unlink(missing_ok=True)
            begun.set()
            if not asyncio.current_task().cancelling():  # pyright: ignore[reportOptionalMemberAccess]
                self._tasks.pop(name, None)
