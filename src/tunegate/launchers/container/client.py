"""A thin client of docker's HTTP API on a unix socket, which podman serves too. Every call has a time limit."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from tunegate.launchers.container.states import FRESH, State
from tunegate.sdk.launcher import EngineUnavailable

try:
    import aiohttp
except ImportError as error:  # the module is named by an entry point, the library by an extra
    raise ImportError(
        "The container launcher needs `pip install 'tunegate[container]'`."
    ) from error

NEWEST = (1, 47)
"""The version of the API that this client speaks at most; it asks for nothing that 1.41 does not have."""
CONNECT_S = 5.0
SILENCE_S = 300.0
"""Of a pull, after which it counts as broken."""


class Config(msgspec.Struct, frozen=True, rename="pascal"):
    """`Config` of an inspected container."""

    labels: dict[str, str] | None = None


class Inspected(msgspec.Struct, frozen=True, rename="pascal"):
    """One container in full."""

    id: str
    state: State
    config: Config = Config()

    @property
    def labels(self) -> dict[str, str]:
        return self.config.labels or {}

    @property
    def is_fresh(self) -> bool:
        """It was never started."""
        return self.state.status.lower() in FRESH


class Listed(msgspec.Struct, frozen=True, rename="pascal"):
    """One container of a list."""

    id: str
    names: list[str]
    state: str = ""
    labels: dict[str, str] | None = None

    @property
    def name(self) -> str:
        return self.names[0].removeprefix("/") if self.names else ""


class _Said(msgspec.Struct, frozen=True):
    message: str = ""
    cause: str = ""


class _Version(msgspec.Struct, frozen=True, rename="pascal"):
    api_version: str = "1.41"


class ApiError(Exception):
    """The engine answered and did not do it. Above 499 it may be the engine's own trouble, or a request it can't serve."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    @property
    def is_final(self) -> bool:
        """The same request would be refused again."""
        return 400 <= self.status < 500 and self.status not in (401, 404, 408, 409, 429)


class Engine:
    """Raises EngineUnavailable for trouble on the way and ApiError for answers that are no success."""

    def __init__(self, socket: str, timeout_s: float) -> None:
        self._socket = socket
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._prefix = ""

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def create(self, name: str, request: Mapping[str, Any]) -> None:
        """Make a container. ApiError 409 where one of this name is there, 404 where the image or network is not."""
        await self._call("POST", "/containers/create", {"name": name}, json=request)

    async def put(self, name: str, folder: str, tar: bytes) -> None:
        """Unpack a tar in a container's folder, whether it runs or not."""
        path = f"/containers/{name}/archive"
        await self._call("PUT", path, {"path": folder}, data=tar, kind="application/x-tar")

    async def start_container(self, name: str) -> None:
        """Start it; one that runs is fine."""
        await self._call("POST", f"/containers/{name}/start")

    async def kill(self, name: str, signal: str) -> None:
        """Send a signal; a container that is over or unknown is fine."""
        try:
            await self._call("POST", f"/containers/{name}/kill", {"signal": signal})
        except ApiError as error:
            await self._unless_over(name, error)

    async def remove(self, name: str) -> None:
        """Kill and remove it with its volume; one that is gone, or going, is fine."""
        try:
            await self._call("DELETE", f"/containers/{name}", {"force": "1", "v": "1"})
        except ApiError as error:
            if error.status not in (404, 409):
                raise EngineUnavailable(_trouble(error)) from None

    async def inspect(self, name: str) -> Inspected | None:
        """One container; None where there is none."""
        try:
            answer = await self._call("GET", f"/containers/{name}/json")
        except ApiError as error:
            if error.status == 404:
                return None
            raise EngineUnavailable(_trouble(error)) from None
        return _decode(answer, Inspected)

    async def containers(self, label: str) -> list[Listed]:
        """All containers with a label, those that are over too."""
        filters = msgspec.json.encode({"label": [label]}).decode()
        try:
            answer = await self._call("GET", "/containers/json", {"all": "1", "filters": filters})
        except ApiError as error:
            raise EngineUnavailable(_trouble(error)) from None
        return _decode(answer, list[Listed])

    async def has_image(self, image: str) -> bool:
        """Whether an image is here."""
        try:
            await self._call("GET", f"/images/{quote(image, safe='/')}/json")
        except ApiError as error:
            if error.status == 404:
                return False
            raise EngineUnavailable(_trouble(error)) from None
        return True

    async def pull(self, image: str, tag: str, auth: str | None) -> None:
        """Fetch an image. ApiError with the registry's words where that fails."""
        headers = {} if auth is None else {"X-Registry-Auth": auth}
        query = {"fromImage": image, "tag": tag}
        last = b""
        async for line in self._lines("POST", "/images/create", query, headers):
            last = line
            told = _decode_or_none(line)
            if told.get("error"):
                raise ApiError(400, str(told["error"]))
        if not last:
            raise EngineUnavailable("The engine ended a pull without a word.")

    async def logs(self, name: str, *, follow: bool) -> AsyncIterator[bytes]:
        """What a container said, as the engine sends it: see `frames`."""
        query = {"stdout": "1", "stderr": "1", "follow": "1" if follow else "0"}
        async for chunk in self._stream("GET", f"/containers/{name}/logs", query, {}, None):
            yield chunk

    async def _unless_over(self, name: str, error: ApiError) -> None:
        """Whether it may be killed is told by 404, 409 or 500, engine by engine: look."""
        found = await self.inspect(name)
        if found is not None and found.state.status.lower() in ("running", "paused", "stopping"):
            raise EngineUnavailable(_trouble(error)) from None

    async def _lines(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._stream(method, path, query, headers, SILENCE_S):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line
        if rest:
            yield rest

    async def _stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        silence_s: float | None,
    ) -> AsyncIterator[bytes]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        try:
            session, prefix = await self._connected()
            async with session.request(
                method, f"{prefix}{path}", params=query, headers=headers, timeout=timeout
            ) as answer:
                if answer.status >= 300:
                    raise _error(answer.status, await answer.read())
                async for chunk in answer.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from error

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        json: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        kind: str = "application/json",
    ) -> bytes:
        body = msgspec.json.encode(json) if json is not None else data
        try:
            session, prefix = await self._connected()
            async with session.request(
                method, f"{prefix}{path}", params=query, data=body, headers={"Content-Type": kind}
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from error
        if answer.status >= 400:
            raise _error(answer.status, content)
        return content

    async def _connected(self) -> tuple[aiohttp.ClientSession, str]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                "http://engine",
                connector=aiohttp.UnixConnector(path=self._socket, limit=64),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S),
            )
        if not self._prefix:
            async with self._session.get("/version") as answer:
                told = _decode(await answer.read(), _Version)
            major, _, minor = told.api_version.partition(".")
            self._prefix = "/v{}.{}".format(*min((int(major), int(minor)), NEWEST))
        return self._session, self._prefix


def _error(status: int, content: bytes) -> ApiError:
    try:
        said = msgspec.json.decode(content, type=_Said)
    except msgspec.MsgspecError:
        said = _Said()
    return ApiError(status, said.message or said.cause or f"HTTP {status}")


def _trouble(error: ApiError) -> str:
    return f"The engine answered {error.status}: {error.message}"


def _unreachable(error: Exception) -> EngineUnavailable:
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return EngineUnavailable("The engine did not answer in time.")
    return EngineUnavailable(f"The engine can't be reached ({type(error).__name__}).")


def _decode(content: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError):
        raise EngineUnavailable("The engine's answer can't be read.") from None


def _decode_or_none(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
