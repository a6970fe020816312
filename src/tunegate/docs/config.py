"""`config/gateway.toml`: every setting with its default and why one would change it."""

import json
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import msgspec
from msgspec import NODEFAULT, structs

from tunegate.docs.attributes import attribute_docs, first_sentence
from tunegate.sdk.launcher import Launcher
from tunegate.settings import Settings, TokenSettings

_HEAD = """\
# Every setting of tunegate with its default. Lines that begin with `#` and hold no default are not set.
# An environment variable wins over this file: TUNEGATE_SERVER__PORT=9000 is server.port.
"""


def render_config() -> str:
    """The whole file."""
    lines = [_HEAD, *_fields(Settings)]
    for field in structs.fields(Settings):
        if isinstance(field.default, msgspec.Struct):
            table = type(field.default)
            lines += ["", f"[{field.name}]", f"# {first_sentence(table)}", "", *_fields(table)]
            if field.name == "auth":
                lines += _commented(["", "[[auth.tokens]]", *_fields(TokenSettings)])
    lines += ["", f"# launchers: {attribute_docs(Settings)['launchers']}"]
    for name, settings in own_launchers():
        lines += _commented(["", f"[launchers.{name}]", *_fields(settings)])
    return "\n".join(lines).rstrip() + "\n"


def own_launchers() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Name and settings of each launcher of this package."""
    for entry in sorted(entry_points(group="tunegate.launchers"), key=lambda entry: entry.name):
        if entry.dist is not None and entry.dist.name == "tunegate":
            launcher: type[Launcher] = entry.load()
            yield entry.name, launcher.settings_type


def _fields(table: type[msgspec.Struct]) -> Iterator[str]:
    docs = attribute_docs(table)
    for field in structs.fields(table):
        default = default_of(field)
        if isinstance(default, msgspec.Struct | dict) or field.name == "tokens":
            continue
        if field.name in docs:
            yield f"# {docs[field.name]}"
        if default is None or default is NODEFAULT:
            yield f"# {field.name} ="
        else:
            yield f"{field.name} = {json.dumps(default)}"


def default_of(field: structs.FieldInfo) -> Any:
    """The default as plain data; NODEFAULT for a required field, None for one that depends on the machine."""
    if field.default_factory is list:
        return []
    if field.default_factory is dict:
        return {}
    return None if field.default_factory is not NODEFAULT else field.default


def _commented(lines: list[str]) -> list[str]:
    return [f"# {line}" if line and not line.startswith("#") else line for line in lines]
