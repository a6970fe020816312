"""A TCP proxy: stands for a load balancer, cuts connections at a chosen moment, or serves at another address what is on loopback."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class TcpProxy:
    """Each new connection goes to the next of `targets` (ports) that takes it. An async context manager."""

    def __init__(self, *targets: int, host: str = "127.0.0.1", port: int = 0) -> None:
        self.targets = list(targets)
        self.host = host
        self.port = port
        self.behind = "127.0.0.1"
        """The address of the targets."""
        self.cuts = 0
        self.cut_before: Callable[[bytes], bool] = lambda _answer: False
        """Whether to cut the connection instead of handing on this piece of the server's answer."""
        self.hold: asyncio.Event | None = None
        """While it is set to an event, answers wait for that."""
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for line in tuple(self._lines):
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        try:
            upstream = await self._connect()
            if upstream is not None:
                await self._join(reader, writer, *upstream)
        except asyncio.CancelledError:
            pass
        finally:
            self._lines.discard(line)
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        targets, first = self.targets, next(self._turn)
        for offset in range(len(targets)):
            with suppress(OSError):
                return await asyncio.open_connection(
                    self.behind, targets[(first + offset) % len(targets)]
                )
        return None

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        ways = (
            asyncio.create_task(self._copy(reader, to_server, lambda _: False)),
            asyncio.create_task(self._copy(from_server, writer, self._cuts)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_server.transport.abort()

    def _cuts(self, piece: bytes) -> bool:
        """What is asked for now, not when the connection was made."""
        return self.cut_before(piece)

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        cuts: Callable[[bytes], bool],
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(2**16):
                if self.hold is not None:
                    await self.hold.wait()
                if cuts(piece):
                    self.cuts += 1
                    return
                writer.write(piece)
                await writer.drain()
