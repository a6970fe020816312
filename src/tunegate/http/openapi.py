"""OpenAPI 3.1, made from what the routes declare and from the wire types' own schemas."""

import json
from collections import defaultdict
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any, cast

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from tunegate import __version__
from tunegate.contract.problems import ProblemDetails
from tunegate.contract.request import TrainRequest
from tunegate.contract.schema import components, reference
from tunegate.http.operation import KEY, Access, Answer, Operation
from tunegate.http.problems import MEDIA_TYPE
from tunegate.http.settings import ServerSettings
from tunegate.sdk.errors import CATALOGUE, ErrorSpec

_EXAMPLES = ("canonical", "lora", "qlora", "full")
_BODY_ERRORS = (
    "malformed_json", "invalid_utf8", "body_too_deep", "duplicate_key", "nul_character", "invalid_request",
    "body_too_slow", "body_too_large", "unsupported_media_type",
)  # fmt: skip
_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.OPEN: [],
    Access.METRICS: [{"bearer": []}, {"header": []}],
    Access.READ: [{"bearer": []}, {"header": []}],
    Access.WRITE: [{"bearer": []}, {"header": []}],
    Access.ADMIN: [{"bearer": []}, {"header": []}],
    Access.ATTEMPT: [{"attempt": []}],
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of this gateway."},
    "header": {"type": "apiKey", "in": "header", "name": "X-TRAINER-TOKEN"},
    "attempt": {"type": "http", "scheme": "bearer", "description": "An attempt's own token."},
}

_TAGS = {
    "jobs": "Submit, look, follow, cancel, retry.",
    "results": "What a job measured and saved.",
    "plugins": "What is installed.",
    "operation": "For those who run the gateway.",
    "tokens": "Who may call, for admins.",
    "trainer": "What a run says to the gateway, with its attempt's own token.",
    "documentation": "This page and what it is made from.",
    "dashboard": "The page for people.",
}
"""In the order in which a newcomer wants them."""


def operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Path, method and handler of every route that is ours (Litestar adds OPTIONS by itself)."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in sorted(handler.http_methods):
                    if method != "OPTIONS":
                        yield route.path_format, method, handler


def build_document(app: Litestar, settings: ServerSettings) -> dict[str, Any]:
    """The whole document, ready to be encoded."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for path, method, handler in operations(app):
        operation = cast("Operation", handler.opt[KEY])
        paths[path][method.lower()] = _describe(path, handler, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tunegate",
            "version": __version__,
            "summary": "One gateway for fine-tuning language models.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "servers": [{"url": settings.public_url or "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components(), "securitySchemes": _SCHEMES},
    }


def _describe(path: str, handler: HTTPRouteHandler, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": handler.handler_name,
        "summary": operation.summary,
        "tags": list(getattr(handler.owner, "tags", None) or ()),
        "security": _SECURITY[operation.access],
        "parameters": [*_path_parameters(path), *_query_parameters(operation)],
        "responses": dict(sorted((_good(operation) | _bad(path, operation)).items())),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        content: dict[str, Any] = {"schema": reference(operation.body)}
        if operation.body is TrainRequest:
            content["examples"] = {name: {"value": example(name)} for name in _EXAMPLES}
        described["requestBody"] = {
            "required": not operation.body_optional,
            "content": {"application/json": content},
        }
    return described


def example(name: str) -> dict[str, Any]:
    """A request that works, by the name of its file."""
    return json.loads(files("tunegate.http").joinpath("examples", f"{name}.json").read_bytes())


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for part in path.split("/"):
        if part.startswith("{"):
            yield {
                "name": part.strip("{}"),
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
            }


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.query is None:
        return
    schema = msgspec.json.schema(operation.query)
    properties = schema["$defs"][operation.query.__name__]["properties"]
    for name, shape in properties.items():
        described = {key: value for key, value in shape.items() if key != "description"}
        parameter = {
            "name": name,
            "in": "query",
            "description": shape.get("description", ""),
            "schema": described,
        }
        if name == "metadata":
            parameter |= {"style": "deepObject", "explode": True}
        elif name == "types":
            parameter |= {"style": "form", "explode": False}
        yield parameter


def _good(operation: Operation) -> dict[str, Any]:
    return {str(status): _answer(answer) for status, answer in operation.answers.items()}


def _answer(answer: Answer) -> dict[str, Any]:
    if answer.wire is None:
        content = {media: {} for media in answer.media if answer.media != ("application/json",)}
        return {"description": answer.description} | ({"content": content} if content else {})
    types = answer.wire if isinstance(answer.wire, tuple) else (answer.wire,)
    schema = reference(types[0]) if len(types) == 1 else {"anyOf": [reference(t) for t in types]}
    content = {
        media: {"schema": schema if media == "application/json" else {"type": "string"}}
        for media in answer.media
    }
    return {"description": answer.description, "content": content}


def error_codes(path: str, operation: Operation) -> list[str]:
    """All codes with which this operation may answer."""
    codes = ["bad_http", "host_not_allowed", "internal_error"]
    if operation.access is not Access.OPEN:
        codes += ["unauthorized", "unavailable"]
    if operation.access in (Access.WRITE, Access.ADMIN):
        codes.append("forbidden")
    if operation.body is not None:
        codes += _BODY_ERRORS
    if operation.query is not None:
        codes.append("invalid_parameter")
    if "{" in path:  # a name that can't be one
        codes.append("not_found")
    if "{job_id}" in path:
        codes.append("job_not_found")
    if "{backend}" in path:
        codes.append("backend_not_found")
    if path == "/readyz":
        codes.append("unavailable")
    return [*codes, *operation.errors]


def _bad(path: str, operation: Operation) -> dict[str, Any]:
    by_status: dict[int, list[ErrorSpec]] = defaultdict(list)
    for code in error_codes(path, operation):
        by_status[CATALOGUE[code].http_status or 500].append(CATALOGUE[code])
    return {
        str(status): {
            "description": "; ".join(f"`{spec.code}`: {spec.title}" for spec in specs),
            "content": {MEDIA_TYPE: {"schema": reference(ProblemDetails)}},
        }
        for status, specs in by_status.items()
    }


def errors_page() -> str:
    """The catalogue as a page: the `type` of every problem points into it."""
    rows = "".join(
        f'<tr id="{spec.code}"><td><code>{spec.code}</code></td><td>{spec.http_status or ""}</td>'
        f"<td>{escape(spec.title)}</td><td>{escape(spec.advice)}</td></tr>\n"
        for spec in CATALOGUE.values()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>tunegate: errors</title>'
        '<link rel="stylesheet" href="/schema/style.css"><main><h1>Errors</h1><table>'
        "<tr><th>Code</th><th>Status</th><th>What happened</th><th>What to do</th></tr>\n"
        f"{rows}</table></main></html>"
    )
