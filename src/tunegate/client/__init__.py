"""The Python client: `Client` and `AsyncClient`, typed with the contract's Structs, with retries, and events as an iterator.

    from tunegate.client import Client

    with Client("https://tunegate.example.com", token="…") as client:
        client.submit(request)
        job = client.watch(request["job_id"])   # a progress display, in notebooks too

Needs the extra `client`. What both clients do is written once, in `flows`, `events` and `logs`; `sync` and `aio` only act.
"""

from tunegate.client.aio import AsyncClient
from tunegate.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    GatewayTrouble,
    GatewayUnreachable,
    InvalidRequest,
    NotFound,
    ProfileUnusable,
    TooMany,
    Unauthorized,
)
from tunegate.client.progress import JobView
from tunegate.client.retrying import Retrying
from tunegate.client.sync import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "Forbidden",
    "GatewayTrouble",
    "GatewayUnreachable",
    "InvalidRequest",
    "JobView",
    "NotFound",
    "ProfileUnusable",
    "Retrying",
    "TooMany",
    "Unauthorized",
]
