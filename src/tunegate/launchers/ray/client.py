"""A thin client of the dashboard's HTTP API, Ray 2.9 and newer. Every call has a time limit."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from tunegate.contract.secret import Secret
from tunegate.launchers.ray.settings import RaySettings
from tunegate.sdk.launcher import EngineUnavailable, LaunchRefused

try:
    import aiohttp
except ImportError as error:  # the module is named by an entry point, the library by an extra
    raise ImportError("The Ray launcher needs `pip install 'tunegate[ray]'`.") from error

_REFUSED_TOKEN = frozenset({401, 403})
_LISTED = "10000"
"""The most that the API of states gives at a time."""


class RayJob(msgspec.Struct, frozen=True):
    """One entry of the job table. Drivers that nobody submitted have no `submission_id`."""

    status: str
    submission_id: str | None = None
    message: str | None = None
    error_type: str | None = None
    metadata: dict[str, str] | None = None
    driver_exit_code: int | None = None

    def said(self, key: str) -> str | None:
        """A value of the metadata."""
        return (self.metadata or {}).get(key)


class _Stats(msgspec.Struct, frozen=True):
    scheduling_state: str = ""


class Group(msgspec.Struct, frozen=True):
    """A placement group: what a driver has asked for its run's nodes."""

    name: str
    state: str
    stats: _Stats | None = None


class _Rows(msgspec.Struct, frozen=True):
    result: list[Group]


class _Data(msgspec.Struct, frozen=True):
    result: _Rows


class _States(msgspec.Struct, frozen=True):
    data: _Data


class _Logs(msgspec.Struct, frozen=True):
    logs: str | None = None


class Taken(Exception):
    """There is a job of this name already."""


class RayClient:
    """Raises EngineUnavailable for trouble on the way, and for answers that nobody foresaw."""

    def __init__(self, settings: RaySettings) -> None:
        self._base = (settings.address or "").rstrip("/")
        self._token_file = settings.token_file
        self._ca_file = settings.ca_file
        self._timeout_s = settings.timeout_s
        self._token: Secret | None = None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def jobs(self) -> list[RayJob]:
        """The whole table, everybody's."""
        listed = _decode(await self._expect("GET", "/api/jobs/"), list[RayJob])
        return [job for job in listed if job.submission_id is not None]

    async def job(self, name: str) -> RayJob | None:
        """One job; None where there is none."""
        status, content = await self._call("GET", f"/api/jobs/{quote(name, safe='')}")
        if status == 404:
            return None
        return _decode(_checked(status, content), RayJob)

    async def submit(self, body: dict[str, Any]) -> None:
        """Raises Taken, and LaunchRefused; after EngineUnavailable nobody knows whether there is a job."""
        status, content = await self._call("POST", "/api/jobs/", msgspec.json.encode(body))
        if status < 300:
            return
        said = content.decode(errors="replace")
        if "already exists" in said:
            raise Taken
        if status == 400 or "status code 400" in said:  # the head wraps its agent's answer
            raise LaunchRefused(f"Ray refused the job: {_last_line(said)}")
        _checked(status, content)

    async def stop(self, name: str) -> None:
        """The driver hears SIGTERM; a job that is over or unknown is fine."""
        status, content = await self._call("POST", f"/api/jobs/{quote(name, safe='')}/stop")
        if status != 404:
            _checked(status, content)

    async def delete(self, name: str) -> None:
        """Out of the table; a job that is gone is fine. Ray refuses for one that is not over."""
        status, content = await self._call("DELETE", f"/api/jobs/{quote(name, safe='')}")
        if status != 404:
            _checked(status, content)

    async def put(self, package: str, content: bytes) -> None:
        """Leave something in the head's memory; unless a job takes it out, Ray drops it ten minutes later."""
        path = f"/api/packages/gcs/{quote(package, safe='')}"
        status, said = await self._call("GET", path)  # begins the ten minutes
        if status != 404:
            _checked(status, said)
        await self._expect("PUT", path, content)

    async def groups(self) -> list[Group]:
        """Placement groups of drivers that live."""
        query = f"detail=true&limit={_LISTED}&filter_keys=state&filter_predicates=%21%3D&filter_values=REMOVED"
        answer = await self._expect("GET", f"/api/v0/placement_groups?{query}")
        return _decode(answer, _States).data.result.result

    async def log(self, name: str) -> bytes:
        """All that a job has said; nothing where there is no job."""
        status, content = await self._call("GET", f"/api/jobs/{quote(name, safe='')}/logs")
        if status == 404:
            return b""
        return (_decode(_checked(status, content), _Logs).logs or "").encode()

    async def tail(self, name: str) -> AsyncIterator[bytes]:
        """All that a job has said and will say."""
        url = f"{self._base}/api/jobs/{quote(name, safe='')}/logs/tail"
        try:
            async with self._connected().ws_connect(
                url, headers=await self._headers(), max_msg_size=0, heartbeat=30
            ) as socket:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield str(message.data).encode()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from error

    async def _expect(self, method: str, path: str, content: bytes | None = None) -> bytes:
        return _checked(*await self._call(method, path, content))

    async def _call(
        self, method: str, path: str, content: bytes | None = None
    ) -> tuple[int, bytes]:
        """Status and body; a token that was refused is read anew once."""
        status, said = await self._send(method, path, content)
        if status in _REFUSED_TOKEN and self._token_file is not None:
            self._token = None
            status, said = await self._send(method, path, content)
        if status in _REFUSED_TOKEN:
            raise EngineUnavailable("Ray refuses the gateway's token")
        return status, said

    async def _send(self, method: str, path: str, content: bytes | None) -> tuple[int, bytes]:
        headers = await self._headers()
        try:
            async with self._connected().request(
                method, self._base + path, data=content, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from error

    async def _headers(self) -> dict[str, str]:
        if self._token is None and self._token_file is not None:
            try:
                text = await asyncio.to_thread(Path(self._token_file).read_text)
            except OSError as error:
                raise EngineUnavailable(f"token_file can't be read: {error.strerror}") from error
            self._token = Secret(text.strip())
        return {} if self._token is None else {"Authorization": f"Bearer {self._token.reveal()}"}

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            trust = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else True
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=32, ssl=trust),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            )
        return self._session


def _checked(status: int, content: bytes) -> bytes:
    if status < 300:
        return content
    said = _last_line(content.decode(errors="replace"))
    raise EngineUnavailable(f"Ray answered {status}: {said}")


def _last_line(said: str) -> str:
    """Ray answers with tracebacks, whose last line is the message."""
    lines = [line.strip() for line in said.splitlines() if line.strip(" .")]
    return lines[-1][:300] if lines else "no reason given"


def _unreachable(error: Exception) -> EngineUnavailable:
    if isinstance(error, TimeoutError):
        return EngineUnavailable("Ray did not answer in time.")
    return EngineUnavailable(f"Ray can't be reached ({type(error).__name__}).")


def _decode(content: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError):
        raise EngineUnavailable("Ray's answer can't be read.") from None
