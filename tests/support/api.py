"""The gateway as a client sees it."""

import asyncio
import json
from contextlib import suppress
from typing import Any, Self

import aiohttp

FINAL = {"succeeded", "failed", "cancelled"}


class Api:
    """Requests with the caller's token; an async context manager."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self.base_url, headers=self._headers)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and decoded body (text when it is not JSON)."""
        assert self._session is not None
        async with self._session.request(method, path, **options) as answer:
            text = await answer.text()
            try:
                return answer.status, json.loads(text)
            except json.JSONDecodeError:
                return answer.status, text

    async def submit(self, body: dict[str, Any]) -> dict[str, Any]:
        status, job = await self.call("POST", "/train", json=body)
        assert status == 201, job
        return job

    async def job(self, job_id: str) -> dict[str, Any]:
        status, job = await self.call("GET", f"/train/{job_id}")
        assert status == 200, job
        return job

    async def wait(
        self, job_id: str, *, status: set[str] | None = None, timeout_s: float = 120
    ) -> dict[str, Any]:
        """Return the job once it is final (or in one of `status`)."""
        wanted, job = status or FINAL, dict[str, Any]()
        try:
            async with asyncio.timeout(timeout_s):
                while job.get("status") not in wanted:
                    # The test may be restarting the gateway.
                    with suppress(aiohttp.ClientError):
                        job = await self.job(job_id)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise TimeoutError(f"after {timeout_s} s the job was {job}") from None
        return job

    async def events(self, job_id: str) -> list[dict[str, Any]]:
        """All events of a job, through its pages."""
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["sequence"] if found else 0
            status, page = await self.call(
                "GET",
                f"/train/{job_id}/events?after={after}&limit=500",
                headers={"Accept": "application/json"},
            )
            assert status == 200, page
            found += page["data"]
            if not page["has_more"]:
                return found
