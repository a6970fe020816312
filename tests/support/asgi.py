"""Calls of an ASGI application without a server or a client between: fast, and as many at once as a test wants."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answered:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> Answered:
    """One request, by the name of loopback."""
    target, _, query = path.partition("?")
    given = {"host": "127.0.0.1", "content-length": str(len(body)), **headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9), "root_path": "", "method": method, "path": target,
        "raw_path": target.encode(), "query_string": query.encode(), "state": {},
        "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
    }  # fmt: skip
    coming = [{"type": "http.request", "body": body, "more_body": False}]
    answer, over = Answered(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if coming:
            return coming.pop()
        await over.wait()  # the client stays until it has its answer
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            answer.body += message.get("body", b"")
            if not message.get("more_body", False):
                over.set()

    await app(scope, receive, send)
    return answer
