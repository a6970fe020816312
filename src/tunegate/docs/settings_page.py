"""`docs/SETTINGS.md`: every setting in tables."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import NODEFAULT, structs

from tunegate.docs.attributes import attribute_docs, first_sentence
from tunegate.docs.config import default_of, own_launchers
from tunegate.settings import Settings, TokenSettings

_HEAD = """\
# Settings

Written from the code by `python -m tunegate.docs`. The gateway reads one TOML file (`tunegate serve --config FILE`);
`config/gateway.toml` holds all of it with the defaults. An environment variable wins over the file: its name is
`TUNEGATE_`, the path in capitals, two underscores in place of each dot, so that `TUNEGATE_SERVER__PORT=9000` is
`server.port`. A value that is a list or a table is given as JSON.

## Top level
"""


def render_settings() -> str:
    """The whole page."""
    lines = [_HEAD, *_table(Settings)]
    for field in structs.fields(Settings):
        if isinstance(field.default, msgspec.Struct):
            table = type(field.default)
            lines += ["", f"## `[{field.name}]`", "", first_sentence(table), "", *_table(table)]
            if field.name == "auth":
                lines += ["", "### `[[auth.tokens]]`", "", first_sentence(TokenSettings), ""]
                lines += _table(TokenSettings)
    for name, settings in own_launchers():
        lines += ["", f"## `[launchers.{name}]`", "", first_sentence(settings), ""]
        lines += _table(settings)
    return "\n".join(lines).rstrip() + "\n"


def _table(table: type[msgspec.Struct]) -> Iterator[str]:
    docs = attribute_docs(table)
    yield "| Setting | Default | What for |"
    yield "| --- | --- | --- |"
    for field in structs.fields(table):
        default = default_of(field)
        if isinstance(default, msgspec.Struct) or field.name in ("tokens", "launchers"):
            continue
        text = docs.get(field.name, "").replace("|", "\\|")
        yield f"| `{field.name}` | {_shown(default)} | {text} |"


def _shown(default: Any) -> str:
    if default is NODEFAULT or default is None:
        return ""
    return f"`{json.dumps(default)}`".replace("|", "\\|")
