"""Doing the steps of a flow: once with threads' means, once with an event loop's. Each actor holds one stream at most."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import httpx

from tunegate.client import transport
from tunegate.client.steps import Answer, Call, NoAnswer, Now, Open, Opened, Pause, Read, Send, Step

_NOT_FOR_ACTORS = "what is given is for who iterates"


class Actor:
    """For `Client`; a context manager around one flow."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._stream: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def do(self, step: Step) -> Any:
        """The step's outcome, as `steps` says it."""
        match step:
            case Pause(seconds):
                return time.sleep(seconds)
            case Now():
                return time.monotonic()
            case _:
                try:
                    return self._talk(step)
                except httpx.HTTPError as error:
                    return transport.no_answer(error)

    def _talk(self, step: Step) -> Answer | NoAnswer | Opened | bytes | None:
        match step:
            case Send(call):
                got = self._http.send(self._http.build_request(**transport.request(call)))
                return transport.answer(got.status_code, got.headers, got.content)
            case Open(call, quiet_s):
                return self._open(call, quiet_s)
            case Read():
                return next(self._chunks, None)
            case _:
                raise TypeError(_NOT_FOR_ACTORS)

    def _open(self, call: Call, quiet_s: float | None) -> Opened | Answer:
        self._close()
        request = self._http.build_request(**transport.request(call, quiet_s))
        got = self._http.send(request, stream=True)
        if got.status_code == 200:
            self._stream, self._chunks = got, got.iter_bytes()
            return Opened()
        try:
            return transport.answer(got.status_code, got.headers, got.read())
        finally:
            got.close()

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class AsyncActor:
    """For `AsyncClient`; an async context manager around one flow."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._stream: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def do(self, step: Step) -> Any:
        """The step's outcome, as `steps` says it."""
        match step:
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Now():
                return asyncio.get_running_loop().time()
            case _:
                try:
                    return await self._talk(step)
                except httpx.HTTPError as error:
                    return transport.no_answer(error)

    async def _talk(self, step: Step) -> Answer | NoAnswer | Opened | bytes | None:
        match step:
            case Send(call):
                got = await self._http.send(self._http.build_request(**transport.request(call)))
                return transport.answer(got.status_code, got.headers, got.content)
            case Open(call, quiet_s):
                return await self._open(call, quiet_s)
            case Read():
                return await anext(self._chunks, None) if self._chunks is not None else None
            case _:
                raise TypeError(_NOT_FOR_ACTORS)

    async def _open(self, call: Call, quiet_s: float | None) -> Opened | Answer:
        await self._close()
        request = self._http.build_request(**transport.request(call, quiet_s))
        got = await self._http.send(request, stream=True)
        if got.status_code == 200:
            self._stream, self._chunks = got, got.aiter_bytes()
            return Opened()
        try:
            return transport.answer(got.status_code, got.headers, await got.aread())
        finally:
            await got.aclose()

    async def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()
