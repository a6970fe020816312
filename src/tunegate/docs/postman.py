"""The Postman collection (format 2.1): every route, ready to be sent alone, or all of them in order by a runner."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from litestar import Litestar

from tunegate.contract.request import TrainRequest
from tunegate.http.openapi import build_document, example, operations
from tunegate.http.operation import KEY, Access, Operation
from tunegate.http.settings import ServerSettings

_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_VARIABLES = {
    "baseUrl": "http://127.0.0.1:8080",
    "token": "",
    "job_id": "unique-train-id",
    "backend": "huggingface-lora",
    "attempt_id": "",
    "attempt_token": "",
    "token_id": "",
    "release": "",
    "name": "",
}
_REMEMBERED = {
    ("POST", "/tokens"): ("token_id", "token.token_id"),
    ("POST", "/tokens/{token_id}/rotate"): ("token_id", "token.token_id"),
}
"""What later requests need of an answer: the variable, and where it stands there."""
_BODIES: Mapping[str, Any] = {
    "NewToken": {"tenant": "acme", "label": "for Ann", "max_gpus": 8, "expires_in_s": 7_776_000},
    "ClaimRequest": {"run_uid": "run-00000001"},
    "EventBatch": {
        "run_uid": "run-00000001",
        "events": [{"sequence": 1, "at_ms": 0, "event": {"kind": "heartbeat"}}],
    },
    "StatusReport": {
        "trainerStatus": {
            "progressPercentage": 40,
            "estimatedRemainingSeconds": 60,
            "metrics": [{"name": "loss", "value": "0.25"}],
            "lastUpdatedTime": "2030-01-01T00:00:00Z",
        }
    },
}


def render_collection(app: Litestar) -> dict[str, Any]:
    """The whole collection."""
    folders: dict[str, list[dict[str, Any]]] = defaultdict(list)
    documented = build_document(app, ServerSettings())["paths"]
    for path, method, handler in sorted(operations(app), key=lambda row: _in_order(row[0], row[1])):
        operation = cast("Operation", handler.opt[KEY])
        tag = str((getattr(handler.owner, "tags", None) or ("other",))[0])
        responses = documented[path][method.lower()]["responses"]
        statuses = [status for status in sorted(map(int, responses)) if status < 500]
        item = _item(path, method, operation)
        folders[tag].append(item | {"event": [_test(path, method, statuses)]})
    return {
        "info": {"name": "tunegate", "schema": _SCHEMA},
        "auth": _bearer("{{token}}"),
        "variable": [{"key": key, "value": value} for key, value in _VARIABLES.items()],
        "item": [{"name": tag, "item": items} for tag, items in folders.items()],
    }


def _in_order(path: str, method: str) -> tuple[int, str]:
    """Make a thing, look at it, do something with it, remove it."""
    if method == "POST" and "{" not in path:
        return 0, path
    return {"GET": 1, "DELETE": 3}.get(method, 2), path


def _test(path: str, method: str, statuses: list[int]) -> dict[str, Any]:
    """The script after a request: the answer is one of those that the documentation names."""
    lines = [
        'pm.test("the answer is documented", () => {',
        f"  pm.expect({statuses}).to.include(pm.response.code);",
        "});",
    ]
    if remembered := _REMEMBERED.get((method, path)):
        name, place = remembered
        lines.append("if (pm.response.code < 300) {")
        lines.append(f'  pm.collectionVariables.set("{name}", pm.response.json().{place});')
        lines.append("}")
    return {"listen": "test", "script": {"type": "text/javascript", "exec": lines}}


def _item(path: str, method: str, operation: Operation) -> dict[str, Any]:
    filled = path.replace("{", "{{").replace("}", "}}")
    request: dict[str, Any] = {
        "method": method,
        "header": [{"key": "Accept", "value": "application/json"}] if method == "GET" else [],
        "url": {
            "raw": "{{baseUrl}}" + filled,
            "host": ["{{baseUrl}}"],
            "path": [part for part in filled.split("/") if part],
            "query": _query(operation),
        },
        "description": operation.description,
    }
    if operation.access is Access.OPEN:
        request["auth"] = {"type": "noauth"}
    elif operation.access is Access.ATTEMPT:
        request["auth"] = _bearer("{{attempt_token}}")
    if operation.body is not None and not operation.body_optional:
        request["header"] = [{"key": "Content-Type", "value": "application/json"}]
        is_job = operation.body is TrainRequest
        body = example("canonical") if is_job else _BODIES[operation.body.__name__]
        text = msgspec.json.format(msgspec.json.encode(body)).decode()
        request["body"] = {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
    return {"name": f"{operation.summary} ({method} {path})", "request": request, "response": []}


def _query(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    return [
        {"key": "metadata[key]" if field.name == "metadata" else field.name, "value": "", "disabled": True}
        for field in msgspec.structs.fields(operation.query)
    ]  # fmt: skip


def _bearer(token: str) -> dict[str, Any]:
    return {"type": "bearer", "bearer": [{"key": "token", "value": token, "type": "string"}]}
