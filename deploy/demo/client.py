"""What a client of the gateway does: send, follow, fetch. Plain HTTP, nothing of tunegate's own code."""

import json
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp


class Client:
    """An async context manager over one connection pool, with the caller's token."""

    def __init__(self, base_url: str, token: str) -> None:
        self._session = aiohttp.ClientSession(
            base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=None, connect=5),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def submit(self, body: dict[str, Any]) -> dict[str, Any]:
        """`POST /train`. Raises RuntimeError with the gateway's own words when it refuses."""
        async with self._session.post("/train", json=body) as answer:
            result = await answer.json(content_type=None)
            if answer.status not in {200, 201}:
                raise RuntimeError(json.dumps(result, indent=2))
            return result

    async def get(self, path: str) -> dict[str, Any]:
        async with self._session.get(path) as answer:
            answer.raise_for_status()
            return await answer.json(content_type=None)

    async def follow(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """The job's events as they happen, to its end."""
        headers = {"Accept": "text/event-stream"}
        async with self._session.get(f"/train/{job_id}/events", headers=headers) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])
