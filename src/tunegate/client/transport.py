"""What both drivers have in common: an httpx request for a call, and words for what failed."""

from collections.abc import Mapping
from typing import Any

import httpx

from tunegate.client.profile import Profile
from tunegate.client.steps import Answer, Call, NoAnswer

CONNECT_S, READ_S = 10.0, 60.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def settings(profile: Profile, version: str) -> dict[str, Any]:
    """How a client is made. No redirect is followed: the token is for this address alone."""
    headers = {"user-agent": f"tunegate-client/{version}"}
    if profile.token is not None:
        headers["authorization"] = f"Bearer {profile.token.reveal()}"
    return {
        "base_url": profile.url,
        "headers": headers,
        "timeout": httpx.Timeout(READ_S, connect=CONNECT_S),
        "follow_redirects": False,
    }


def request(call: Call, quiet_s: float | None = READ_S) -> dict[str, Any]:
    """The arguments of `build_request`."""
    headers = {"accept": call.accept, **call.headers}
    if call.body is not None:
        headers["content-type"] = "application/json"
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.query) or None,
        "content": call.body,
        "headers": headers,
        "timeout": httpx.Timeout(READ_S, connect=CONNECT_S, read=quiet_s),
    }


def answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """An answer with the names of its headers in lower case."""
    return Answer(status, {name.lower(): value for name, value in headers.items()}, body)


def no_answer(error: httpx.HTTPError) -> NoAnswer:
    """What failed, in words that hold nothing of the request."""
    words = str(error) or type(error).__name__
    return NoAnswer(words, sent=not isinstance(error, _NOT_SENT))
