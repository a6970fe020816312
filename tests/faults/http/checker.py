"""What no answer to a hostile body may be."""

import json
from dataclasses import dataclass, field

from faults.http.bodies import CANARY, SECRET
from tunegate.sdk.errors import CATALOGUE

PAUSES = frozenset({503})


@dataclass
class Checker:
    """Collects violations; `verdicts` counts answers by status."""

    violations: list[str] = field(default_factory=list[str])
    verdicts: dict[int, int] = field(default_factory=dict[int, int])
    tried: int = 0

    def see(self, name: str, status: int, headers: dict[str, str], body: bytes) -> None:
        self.tried += 1
        self.verdicts[status] = self.verdicts.get(status, 0) + 1
        for fault in _faults(status, headers, body):
            self.violations.append(f"{name}: {status}: {fault}")


def _faults(status: int, headers: dict[str, str], body: bytes) -> list[str]:
    faults: list[str] = []
    if status >= 500 and not (status in PAUSES and "retry-after" in headers):
        faults.append("the gateway broke")
    if SECRET.encode() in body:
        faults.append("a secret was repeated")
    if status >= 400:
        if CANARY.encode() in _without_names(body):
            faults.append("a value was repeated")
        if headers.get("content-type") != "application/problem+json":
            faults.append("no problem details")
        elif json.loads(body)["code"] not in CATALOGUE:
            faults.append("a code that no catalogue has")
    elif status not in (200, 201):
        faults.append("neither taken nor refused")
    if headers.get("x-content-type-options") != "nosniff":
        faults.append("headers are missing")
    return faults


def _without_names(body: bytes) -> bytes:
    """Refusals name the path of what is wrong; a canary that was the name of a field may stand in one."""
    try:
        problem = json.loads(body)
    except ValueError:
        return body
    for entry in problem.get("errors", ()):
        path = entry.pop("path", "")
        if CANARY in path:  # the sentences may name the field too
            entry.pop("message", None)
            problem["detail"] = ""
    return json.dumps(problem).encode()
