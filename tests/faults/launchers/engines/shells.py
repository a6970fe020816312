"""Programs of the campaign that the engine starts as real processes: small shells that stand for them and tell them apart."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from faults.launchers.process import Process, Program

_SHELL = """\
#!/bin/bash
# The program lives in the campaign; this is its process.
reader=
trap '[ -n "$reader" ] && kill -TERM "$reader" 2>/dev/null' TERM
exec 3<>/dev/tcp/127.0.0.1/{port} || exit 1
{before}
echo "{word} {key}" >&3
trap 'echo term >&3' TERM
(trap '' TERM; read -r code <&3; exit "${{code:-137}}") &
reader=$!
while wait "$reader"; kill -0 "$reader" 2>/dev/null; do :; done
wait "$reader"
exit $?
"""
"""It says who it is, and `term` when SIGTERM came; the answer is its exit code."""
Serve = Callable[[str, asyncio.StreamReader], Awaitable[int]]


class Shells:
    """`lost` is told the key of a program whose node went, before its shell hears of the end."""

    def __init__(
        self, program: Program, files_of: Callable[[str], Path], lost: Callable[[str], None]
    ) -> None:
        self.alive: set[str] = set()
        self._program = program
        self._files_of = files_of
        self._lost = lost
        self._serves: dict[str, Serve] = {"run": self._run}
        self._serving: set[asyncio.Task[Any]] = set()

    async def start(self, **more: Serve) -> None:
        """`more` serves other words."""
        self._serves |= more
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def script(self, key: str, word: str = "run", before: str = "") -> str:
        """The shell's text. `key` is what it calls itself, in shell words; `before` is done once it is there."""
        return _SHELL.format(port=self._port, key=key, word=word, before=before)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            word, key = (await reader.readline()).decode().split()
            writer.write(b"%d\n" % await self._serves[word](key, reader))
            await writer.drain()
        except (ConnectionError, ValueError):
            pass  # its shell was killed
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _run(self, key: str, reader: asyncio.StreamReader) -> int:
        files = (path for path in self._files_of(key).iterdir() if path.is_file())
        process = Process(self._program, {path.name: path.read_bytes() for path in files})
        self.alive.add(key)
        listening = asyncio.get_running_loop().create_task(
            _hear(reader, process), context=contextvars.Context()
        )
        code = await process.wait()
        listening.cancel()
        self.alive.discard(key)
        if process.lost:
            self._lost(key)
        return code


async def _hear(reader: asyncio.StreamReader, process: Process) -> None:
    with suppress(ConnectionError):
        while await reader.readline():
            process.term()
    process.kill()
