"""The trainer's side of the attempt protocol: claim once, then push numbered events."""

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Any

TRIES = 20
TIMEOUT_S = 10.0


class Superseded(Exception):
    """Another run holds the attempt."""


class Unreachable(Exception):
    """The gateway did not answer for long."""


class Gateway:
    """One attempt at one gateway; without a ticket everything is accepted and nothing sent."""

    def __init__(self, ticket: dict[str, Any] | None, token: str = "") -> None:
        self._ticket = ticket
        self._token = token
        self._run_uid = uuid.uuid4().hex
        self._sequence = 0
        self.attempt = 1 if ticket is None else ticket["attempt"]
        self.fence = 1
        self.stop: str | None = None

    @classmethod
    def of(cls, ticket_file: Path) -> "Gateway":
        """The gateway of `attempt.json`, or none where there is no such file."""
        if not ticket_file.exists():
            return cls(None)
        ticket = json.loads(ticket_file.read_text())
        return cls(ticket, (ticket_file.parent / ticket["token_file"]).read_text().strip())

    def claim(self) -> None:
        """Raises Superseded when another run was faster."""
        grant = self._post("claim", {"run_uid": self._run_uid})
        self.fence = grant.get("fence", self.fence)

    def say(self, kind: str, **fields: Any) -> None:
        """Push one event; afterwards `stop` says whether the gateway wants the run to end."""
        self._sequence += 1
        event = {
            "sequence": self._sequence,
            "at_ms": time.time_ns() // 10**6,
            "event": {"kind": kind, **fields},
        }
        self.stop = self._post("events", {"run_uid": self._run_uid, "events": [event]}).get("stop")

    def _post(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        if self._ticket is None:
            return {}
        url = f"{self._ticket['gateway_url'].rstrip('/')}/internal/attempts/{self._ticket['attempt_id']}/{what}"
        if not url.startswith(("http://", "https://")):
            raise Unreachable
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
        for delay_s in (min(0.1 * 2**n, 5.0) for n in range(TRIES)):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise Superseded from error
            except (OSError, http.client.HTTPException):
                pass  # no answer, or one that broke off: the same question may be asked again
            time.sleep(delay_s)
        raise Unreachable
