"""Every call of the API as a value."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from tunegate.client.steps import Call
from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import reveal_hook

Request = TrainRequest | Mapping[str, Any]
"""The body of a submission: the Struct, or plain values that the gateway checks."""


def submit(request: Request, backend: str | None, *, dry_run: bool = False) -> Call:
    """Safe to repeat: the job_id names the job."""
    path = f"/{quote(backend, safe='')}/train" if backend else "/train"
    query = {"dry_run": "true"} if dry_run else {}
    return Call(method="POST", path=path, query=query, body=encode(request))


def get(path: str, **query: object) -> Call:
    """A look; parameters that are None are left out."""
    given = {name: _text(value) for name, value in query.items() if value is not None}
    return Call(method="GET", path=path, query=given)


def job(job_id: str, below: str = "") -> str:
    """The path of a job, or of something of it."""
    return f"/train/{quote(job_id, safe='')}{below}"


def token(token_id: str, below: str = "") -> str:
    """The path of a token, or of something of it."""
    return f"/tokens/{quote(token_id, safe='')}{below}"


def list_jobs(
    status: str | None,
    backend: str | None,
    metadata: Mapping[str, str] | None,
    after: str | None,
    limit: int | None,
) -> Call:
    """One page of jobs."""
    pairs = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
    return get("/train", status=status, backend=backend, after=after, limit=limit, **pairs)


def encode(value: object) -> bytes:
    """A body, with its secrets in clear: this is the way to the gateway."""
    return msgspec.json.encode(value, enc_hook=reveal_hook)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)
