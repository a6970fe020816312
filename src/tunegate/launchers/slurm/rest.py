"""`SlurmRest`: slurmrestd over HTTP or its socket."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from tunegate.launchers.slurm.api import SlurmApi, trouble
from tunegate.launchers.slurm.job import SlurmJob
from tunegate.launchers.slurm.request import JobRequest
from tunegate.launchers.slurm.rest_shapes import (
    Answer,
    choose_version,
    complaints,
    decode,
    encode,
    job_of,
    named,
)
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.launchers.slurm.token import Token
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable

_DOCUMENTS = ("/openapi/v3", "/openapi.json")
_SOCKET = "unix:"
_REFUSED_TOKEN = frozenset({401, 511})


class SlurmRest(SlurmApi):
    """The version is agreed on with the first call, and anew after slurmrestd was replaced by another release."""

    def __init__(self, settings: SlurmSettings, user: str, clock: Clock) -> None:
        self._settings = settings
        self._user = user
        self._token = Token(settings, clock)
        self._http: aiohttp.ClientSession | None = None
        self._version: int | None = None
        self._agreeing = asyncio.Lock()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def jobs(self, names: Sequence[str] | None) -> list[SlurmJob]:
        """One list of all jobs: slurmrestd has no filter by name."""
        answer = await self._call("GET", "jobs" if await self._agreed() < 39 else "jobs/")
        return named([job_of(listed) for listed in answer.jobs], names, self._user)

    async def submit(self, request: JobRequest) -> int:
        body = encode(request, await self._agreed())
        answer = await self._call("POST", "job/submit", body)
        job_id = answer.job_id or (answer.result or {}).get("job_id")
        if not job_id:
            raise EngineUnavailable("slurmrestd did not give the number of the job")
        return job_id

    async def kill(self, job: SlurmJob) -> None:
        """The number is looked up just before: it may be another job's by now."""
        path = f"job/{job.job_id}"
        try:
            there = await self._call("GET", path)
        except EngineUnavailable as error:
            if "invalid job id" in str(error).lower():
                return
            raise
        if any(job_of(listed).name == job.name for listed in there.jobs):
            await self._call("DELETE", path)

    async def _agreed(self) -> int:
        async with self._agreeing:
            if self._version is None:
                self._version = choose_version(await self._document())
            return self._version

    async def _document(self) -> dict[str, Any]:
        for path in _DOCUMENTS:
            status, body = await self._request("GET", path)
            if status == 200:
                try:
                    return msgspec.json.decode(body, type=dict[str, Any])
                except msgspec.MsgspecError:
                    continue
        raise EngineUnavailable("slurmrestd does not show its OpenAPI document")

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> Answer:
        version = await self._agreed()
        status, content = await self._request(
            method, f"/slurm/v0.0.{version}/{path}", body=body, query=query
        )
        if status == 404:
            self._version = None
        answer = decode(content) if content.lstrip().startswith(b"{") else Answer()
        said = complaints(answer)
        if status < 400 and not said:
            return answer
        if method == "POST" and said:
            raise trouble(said)
        raise EngineUnavailable(f"slurmrestd answered {status}: {said[:300] or 'no reason given'}")

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body; a token that was refused is fetched anew once."""
        data = None if body is None else msgspec.json.encode(body)
        status, content = await self._send(method, path, data, query)
        if _is_refused(status, content):
            self._token.forget()
            status, content = await self._send(method, path, data, query)
            if _is_refused(status, content):
                raise EngineUnavailable("slurmrestd refuses the gateway's token")
        return status, content

    async def _send(
        self, method: str, path: str, data: bytes | None, query: dict[str, str] | None
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} if data is not None else {}
        token = await self._token.get()
        if token is not None:
            headers |= {"X-SLURM-USER-NAME": self._user, "X-SLURM-USER-TOKEN": token.reveal()}
        try:
            async with self._session().request(
                method, self._base() + path, data=data, params=query, headers=headers
            ) as answer:
                return answer.status, await answer.read()
        except TimeoutError:
            raise EngineUnavailable("slurmrestd did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise EngineUnavailable(
                f"slurmrestd can't be reached: {type(error).__name__}"
            ) from error

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            url = self._settings.rest_url or ""
            connector = (
                aiohttp.UnixConnector(path=url.removeprefix(_SOCKET))
                if url.startswith(_SOCKET)
                else aiohttp.TCPConnector(limit=8)
            )
            timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
            self._http = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._http

    def _base(self) -> str:
        url = self._settings.rest_url or ""
        return "http://slurmrestd" if url.startswith(_SOCKET) else url.rstrip("/")


def _is_refused(status: int, content: bytes) -> bool:
    """22.05 answers 500 for a bad token, and says so in its body."""
    return status in _REFUSED_TOKEN or (status == 500 and b"uthentication" in content)
