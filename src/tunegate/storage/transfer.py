"""What all stores share in moving bytes: resuming reads, parallel parts, files that appear whole or not at all."""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from tunegate.sdk.clock import Clock
from tunegate.sdk.storage import StorageError, StoreUnavailable

PART_BYTES = 8 * 2**20
MAX_PARTS = 10_000
PARALLEL = 8
TRIES = 5

Chunks = AsyncGenerator[bytes, None]
Part = tuple[int, int | None]
T = TypeVar("T")


class BrokenRead(Exception):
    """A read stopped before its end and may be resumed there. The message is fit for users."""


def part_bytes(size_bytes: int) -> int:
    """Bytes per part: 8 MiB, more where 10,000 parts would not suffice."""
    needed = -(-size_bytes // MAX_PARTS)
    return max(PART_BYTES, -(-needed // 2**20) * 2**20)


def parts_of(size_bytes: int) -> list[Part]:
    """[start, stop) of every part; one part that takes in everything has no stop, so that its checksum can be verified."""
    step = part_bytes(size_bytes)
    if size_bytes <= step:
        return [(0, None)]
    return [(start, min(start + step, size_bytes)) for start in range(0, size_bytes, step)]


async def resume(open_at: Callable[[int], Chunks], start: int, clock: Clock) -> Chunks:
    """Read on from where a read broke. Raises StoreUnavailable after five tries in a row that brought nothing."""
    position, failures = start, 0
    while True:
        before = position
        try:
            async with aclosing(open_at(position)) as chunks:
                async for chunk in chunks:
                    position += len(chunk)
                    yield chunk
            return
        except BrokenRead as error:
            failures = 1 if position > before else failures + 1
            if failures == TRIES:
                raise StoreUnavailable(str(error)) from None
        await clock.sleep(min(0.1 * 2**failures, 5.0))


async def in_parallel(work: Iterable[T], do: Callable[[T], Awaitable[None]]) -> None:
    """`do` for every item, a few at a time. The first error stops the rest and is raised."""
    todo = iter(work)

    async def worker() -> None:
        for item in todo:
            await do(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def fill(descriptor: int, part: Part, chunks: Chunks) -> int:
    """Write a part's bytes at its place in an open file. Returns the end reached; raises StorageError when it falls short."""
    position, stop = part
    async with aclosing(chunks):
        async for chunk in chunks:
            await asyncio.to_thread(_write_all, descriptor, chunk, position)
            position += len(chunk)
    if stop is not None and position != stop:
        raise StorageError("a part of the object has the wrong size")
    return position


def _write_all(descriptor: int, chunk: bytes, position: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written


def is_partial(name: str) -> bool:
    """Whether a file name is that of an unfinished file."""
    return name.startswith(".tunegate-") and name.endswith(".part")


@asynccontextmanager
async def appearing(target: Path, *, if_absent: bool = False) -> AsyncGenerator[int, None]:
    """The descriptor of a new file that takes `target`'s place when the block ends well, durably; else it vanishes.

    With `if_absent` raises FileExistsError when `target` is there.
    """
    partial = target.with_name(f".tunegate-{secrets.token_hex(8)}.part")
    descriptor = await asyncio.to_thread(_create, partial)
    try:
        yield descriptor
        await asyncio.to_thread(_publish, descriptor, partial, target, if_absent=if_absent)
    finally:
        os.close(descriptor)
        partial.unlink(missing_ok=True)


def _create(partial: Path) -> int:
    partial.parent.mkdir(parents=True, exist_ok=True)
    return os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _publish(descriptor: int, partial: Path, target: Path, *, if_absent: bool) -> None:
    os.fsync(descriptor)
    if if_absent:
        # A link fails where something stands already; a rename would replace it.
        os.link(partial, target)
    else:
        partial.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
