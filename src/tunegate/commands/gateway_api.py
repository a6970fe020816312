"""A running gateway's API, as commands call it: one request, one answer."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_S = 30.0


class GatewayError(Exception):
    """The gateway refused or did not answer. The message is for people."""


class GatewayApi:
    """Talks to the gateway at `url` (None = TUNEGATE_URL) with TUNEGATE_TOKEN."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._token = os.environ.get("TUNEGATE_TOKEN", "")

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer; None where there is none. Raises GatewayError."""
        headers = {"accept": "application/json"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data, headers["content-type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(  # noqa: S310 - the operator's own address
            self._url + path, data=data, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise GatewayError(_words(error)) from None
        except (OSError, ValueError) as error:
            raise GatewayError(f"{self._url}: {getattr(error, 'reason', error)}") from None
        return json.loads(content) if content else None


def _words(error: urllib.error.HTTPError) -> str:
    """What a problem document says."""
    try:
        problem = json.loads(error.read())
        lines = [f"{problem['code']}: {problem['detail']}"]
        lines += [f"  {each['path']}: {each['message']}" for each in problem.get("errors") or []]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"
    return "\n".join(lines)
