"""`Peers`: a line from every rank to rank 0, on which they say why they stop or fail, and which breaks when one dies.

A collective tells late, or never, that a rank is gone; a closed socket tells at once. Nothing secret passes here.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from tunegate.contract.base import Wire
from tunegate.sdk.errors import CATALOGUE, TunegateError
from tunegate.trainer.stop import StopFlag, StopReason

LOOK_S = 0.1
STUCK_S = 15.0
"""After the failure of another rank, for the main thread to find its own way out of what it is in."""
LONGEST_LINE = 64 * 1024
SILENT_S = 20
"""A machine that does not even acknowledge for so long is gone."""


class Said(Wire):
    """A line. `hello` comes first, with the secret-free word that rank 0 gave out through the store."""

    kind: Literal["hello", "stop", "failed", "bye"]
    rank: int
    word: str = ""
    reason: StopReason = "signal"
    within_s: float = 0.0
    code: str = ""
    detail: str = ""


class Peers:
    """All methods but the async ones are called from the main thread."""

    def __init__(self, rank: int, world: int, stop: StopFlag) -> None:
        self._rank, self._world, self._stop = rank, world, stop
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._present = asyncio.Event()
        self._gone: set[int] = set()
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving = threading.Event()
        self._failed = threading.Event()
        self.failure: TunegateError | None = None
        """Of another rank, with its name."""
        self.on_stuck: Callable[[TunegateError], None] | None = None
        """Called from a thread of its own when the main thread does not come back after a failure elsewhere."""

    async def listen(self, host: str, word: str) -> int:
        """On rank 0: gives the port."""
        self._word = word
        self._server = await asyncio.start_server(self._serve, host, 0, limit=LONGEST_LINE)
        self._tasks.append(asyncio.create_task(self._pass_stops_on()))
        return self._server.sockets[0].getsockname()[1]

    async def all_present(self, within_s: float) -> None:
        """On rank 0: until every other rank has said hello. Raises TunegateError rank_lost."""
        try:
            await asyncio.wait_for(self._present.wait(), within_s)
        except TimeoutError as error:
            missing = sorted(set(range(1, self._world)) - self._writers.keys())
            names = ", ".join(map(str, missing))
            raise TunegateError("rank_lost", f"rank {names} did not come.") from error

    async def connect(self, host: str, port: int, word: str) -> None:
        """On the others."""
        reader, writer = await asyncio.open_connection(host, port, limit=LONGEST_LINE)
        _notice_silence(writer)
        self._writers[0] = writer
        await self._send(0, Said(kind="hello", rank=self._rank, word=word))
        self._tasks += [
            asyncio.create_task(self._hear(0, reader)),
            asyncio.create_task(self._pass_stops_on()),
        ]

    async def leave(self, failure: TunegateError | None) -> None:
        """Say goodbye, or why this rank failed; afterwards nobody takes its silence for death."""
        self._leaving.set()
        if failure is None:
            word = Said(kind="bye", rank=self._rank)
        else:
            word = Said(
                kind="failed", rank=self._rank, code=failure.code, detail=failure.detail[:2000]
            )
        for rank in list(self._writers):
            await self._send(rank, word)
        for task in self._tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        for writer in self._writers.values():
            writer.close()

    def wait_for_failure(self, seconds: float) -> TunegateError | None:
        """What another rank failed with, if that is known by then."""
        self._failed.wait(seconds)
        return self.failure

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _notice_silence(writer)
        try:
            hello = await _read(reader)
        except (ValueError, OSError):
            hello = None
        if hello is None or hello.kind != "hello" or hello.word != self._word:
            writer.close()
            return
        self._writers[hello.rank] = writer
        if len(self._writers) == self._world - 1:
            self._present.set()
        await self._hear(hello.rank, reader)

    async def _hear(self, rank: int, reader: asyncio.StreamReader) -> None:
        """Until the rank leaves, in whatever way."""
        while True:
            try:
                said = await _read(reader)
            except (ValueError, OSError):
                said = None
            if said is None:
                if rank not in self._gone and not self._leaving.is_set():
                    await self._take_failure(
                        Said(
                            kind="failed", rank=rank, code="rank_lost",
                            detail="died without a word",
                        )
                    )  # fmt: skip
                return
            if said.kind == "bye":
                self._gone.add(rank)
            elif said.kind == "stop":
                self._stop.request(said.reason, said.within_s)
            elif said.kind == "failed":
                self._gone.add(rank)
                await self._take_failure(said)

    async def _take_failure(self, said: Said) -> None:
        """The first one counts; rank 0 tells the others."""
        if self.failure is not None or self._leaving.is_set():
            return
        code = said.code if said.code in CATALOGUE else "trainer_crashed"
        self.failure = TunegateError(code, f"rank {said.rank}: {said.detail}")
        self._failed.set()
        threading.Thread(target=self._see_to_the_end, name="last-resort", daemon=True).start()
        if self._rank == 0:
            for rank in list(self._writers):
                await self._send(rank, said)

    def _see_to_the_end(self) -> None:
        """The main thread may be in a collective that never ends."""
        if not self._leaving.wait(STUCK_S) and self.on_stuck and self.failure:
            self.on_stuck(self.failure)

    async def _pass_stops_on(self) -> None:
        """A stop that was asked of one rank is one for all; rank 0 hands on what it hears."""
        passed: StopReason | None = None
        while True:
            await asyncio.sleep(LOOK_S)
            reason = self._stop.reason
            if reason is None or reason == passed:
                continue
            passed = reason
            said = Said(kind="stop", rank=self._rank, reason=reason, within_s=self._stop.left_s)
            for rank in list(self._writers):
                await self._send(rank, said)

    async def _send(self, rank: int, said: Said) -> None:
        """To one that may be gone: who listens will notice."""
        writer = self._writers[rank]
        with contextlib.suppress(OSError):
            writer.write(msgspec.json.encode(said) + b"\n")
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Said | None:
    """None at the end. Raises ValueError for what is no line of ours."""
    line = await reader.readline()
    return msgspec.json.decode(line, type=Said) if line else None


def _notice_silence(writer: asyncio.StreamWriter) -> None:
    """Let the kernel ask whether the other machine still lives."""
    line: socket.socket = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, SILENT_S // 2),
        (socket.TCP_KEEPINTVL, SILENT_S // 4),
        (socket.TCP_KEEPCNT, 2),
        (socket.TCP_USER_TIMEOUT, SILENT_S * 1000),
    ):
        line.setsockopt(socket.IPPROTO_TCP, option, value)
