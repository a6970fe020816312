"""What is written from the Helm chart's values.yaml: their JSON Schema, and a page with a table of them."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tunegate.contract.secret import schema_hook
from tunegate.settings import Settings

VALUES = "deploy/helm/tunegate/values.yaml"
_OPEN = frozenset({"affinity", "annotations", "config", "labels", "nodeSelector", "podAnnotations", "podLabels", "resources", "settings"})  # fmt: skip
"""Tables of which the cluster or the gateway says what may stand in them."""
_CHOICES: Mapping[str, list[str]] = {
    "database.kind": ["sqlite", "bundled", "external"],
    "runs.launcher": ["kubernetes", "kubeflow", "none"],
    "service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
    "image.pullPolicy": ["Always", "IfNotPresent", "Never"],
}
_WORDS = frozenset({"accessModes", "hosts", "hostnames", "imagePullSecrets", "packages", "pipArguments", "topologySpread"})  # fmt: skip
"""Lists of strings; all others hold tables of Kubernetes."""
_LINE = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]+):")
_HEAD = """\
# Values of the Helm chart

Written from `deploy/helm/tunegate/values.yaml` by `python -m tunegate.docs`. How to install: [Helm](INSTALL_HELM.md).

| Value | Default | What for |
| --- | --- | --- |
"""


def render_schema(root: Path) -> str:
    """`values.schema.json`: unknown values are refused, and `config` is held to the gateway's own settings."""
    values: dict[str, Any] = yaml.safe_load((root / VALUES).read_text())
    (settings,), definitions = msgspec.json.schema_components(
        [Settings], schema_hook=schema_hook, ref_template="#/$defs/{name}"
    )
    schema = _table(values, "")
    schema["properties"]["config"] = settings
    schema["properties"]["global"] = {"type": "object"}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the tunegate chart",
        **schema,
        "$defs": _without_required(definitions),
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def render_page(root: Path) -> str:
    """`docs/HELM.md`."""
    text = (root / VALUES).read_text()
    comments = dict(_comments(text))
    rows = [
        f"| `{path}` | {_shown(value)} | {comments.get(path, '')} |"
        for path, value in _leaves(yaml.safe_load(text), "")
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _table(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    properties = {key: _schema(value, key, f"{path}{key}") for key, value in values.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _schema(value: Any, key: str, path: str) -> dict[str, Any]:
    if path in _CHOICES:
        return {"enum": _CHOICES[path]}
    match value:
        case dict() if key in _OPEN:
            return {"type": "object"}
        case dict():
            return _table(value, f"{path}.")
        case list():
            return {"type": "array", "items": {"type": "string" if key in _WORDS else "object"}}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0}
        case _:
            return {"type": "string"}


def _without_required(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Parts may come from the environment, so nothing is missing yet."""
    return {
        name: {key: value for key, value in schema.items() if key != "required"}
        for name, schema in definitions.items()
    }


def _leaves(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in _OPEN:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """The comment above each value, by its path."""
    above: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        if line.strip().startswith("#"):
            above.append(line.strip().removeprefix("#").strip())
            continue
        if found := _LINE.match(line):
            path = [*path[: len(found["indent"]) // 2], found["key"]]
            yield ".".join(path), " ".join(above)
        above = []


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`" if value not in ("", None) else ""
