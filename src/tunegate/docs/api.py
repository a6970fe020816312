"""The generated parts of `docs/API_SPEC.md`: routes, and the fields of what goes in and out."""

import re
from typing import Any, cast

from litestar import Litestar

from tunegate.contract.schema import components
from tunegate.http.openapi import error_codes, operations
from tunegate.http.operation import KEY, Access, Operation

_ACCESS = {
    Access.OPEN: "anybody",
    Access.METRICS: "any token, unless opened",
    Access.READ: "any token",
    Access.WRITE: "a token that may write",
    Access.ADMIN: "an admin's token",
    Access.ATTEMPT: "the attempt's token",
}
_REQUEST = (
    "TrainRequest", "BaseModel", "Customization", "LoraOptions", "QloraOptions", "PeftOptions", "Resources",
    "Dataset", "Auth", "Artifacts", "TuningParameters", "Callbacks", "ReplayRequest",
    "NewToken", "Rotation",
)  # fmt: skip
_ANSWERS = (
    "Job", "Progress", "JobError", "Ignored", "JobPage", "JobEvent", "EventPage", "MetricSeries", "MetricPoint",
    "CheckpointList", "Checkpoint", "FileList", "StoredFile", "DryRun", "InstalledList", "Installed",
    "ProblemDetails", "Problem", "WebhookBody", "WebhookPage", "WebhookDelivery", "WebhookTry", "ReplayResult",
    "TokenList", "Token", "IssuedToken", "AuditEntry", "AuditHead",
)  # fmt: skip


def fill_page(page: str, app: Litestar) -> str:
    """The page with everything between its `<!-- name:begin -->` and `<!-- name:end -->` written anew."""
    blocks = {"routes": _routes(app), "request": _types(_REQUEST), "answers": _types(_ANSWERS)}
    for name, block in blocks.items():
        pattern = rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)"
        page = re.sub(pattern, lambda m, b=block: f"{m[1]}{b}{m[2]}", page, flags=re.DOTALL)
    return page


def _routes(app: Litestar) -> str:
    lines = [
        "| Call | What it does | Answers | Who may | Errors |",
        "| --- | --- | --- | --- | --- |",
    ]
    for path, method, handler in sorted(operations(app), key=lambda row: (row[0], row[1])):
        operation = cast("Operation", handler.opt[KEY])
        answers = ", ".join(str(status) for status in sorted(operation.answers))
        own = ", ".join(f"`{code}`" for code in _own_errors(path, operation))
        cells = (f"`{method} {path}`", operation.summary, answers, _ACCESS[operation.access], own)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _own_errors(path: str, operation: Operation) -> list[str]:
    """Those of the route itself; what holds for every route or every body is said once, in words."""
    named = [*operation.errors, "job_not_found", "backend_not_found"]
    return [code for code in error_codes(path, operation) if code in named]


def _types(names: tuple[str, ...]) -> str:
    schemas = components()
    return "\n".join(_type(name, schemas[name]) for name in names)


def _type(name: str, schema: dict[str, Any]) -> str:
    required: list[str] = schema.get("required", [])
    lines = [f"#### {name}", "", str(schema.get("description", "")), ""]
    lines += ["| Field | Type | Required | Meaning |", "| --- | --- | --- | --- |"]
    for field, shape in schema["properties"].items():
        needed = "yes" if field in required else ""
        meaning = " ".join(str(shape.get("description", "")).split())
        lines.append(f"| `{field}` | {_shape(shape)} | {needed} | {meaning} |")
    return "\n".join(lines) + "\n"


def _shape(shape: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in shape:
        name = shape["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(_shape(option) for option in shape["anyOf"]))
    if "enum" in shape:
        return ", ".join(f"`{choice}`" for choice in shape["enum"] if choice is not None)
    kind = shape.get("type", "any")
    if kind == "array":
        return f"list of {_shape(shape['items'])}"
    if shape.get("format") == "password":
        return "secret"
    return f"{kind}{_limits(shape)}"


def _limits(shape: dict[str, Any]) -> str:
    words = {
        "minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "minLength": "length ≥", "maxLength": "length ≤",
        "maxProperties": "entries ≤",
    }  # fmt: skip
    return "".join(f", {words[key]} {shape[key]}" for key in words if key in shape)
