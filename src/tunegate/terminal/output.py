"""Standard output: JSON where it was asked for, rich on a terminal, plain text in a pipe."""

import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from tunegate.contract.secret import redact_hook

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {"succeeded": "green", "failed": "red", "cancelled": "dim", "running": "cyan", "queued": "yellow",
          "ok": "green", "skipped": "dim", "warning": "yellow", "trouble": "bold red"}  # fmt: skip
"""Words that are coloured wherever they fill a cell."""


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def clean(text: str) -> str:
    """Without the characters that would move the cursor or colour what follows: texts come from programs of others."""
    return text.translate(_CONTROLS)


_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "�")
"""All but tab and line feed."""


@cache
def console() -> "Console":
    """Rich's console, which knows NO_COLOR and the width."""
    from rich.console import Console

    return Console(highlight=False)


def say(text: str) -> None:
    """A line, as it is."""
    sys.stdout.write(text + "\n")


def hint(text: str) -> None:
    """A line beside the result."""
    sys.stderr.write(text + "\n")


def as_json(value: object) -> None:
    """One value on one line; on a terminal indented."""
    encoded = msgspec.json.encode(value, enc_hook=redact_hook)
    text = msgspec.json.format(encoded) if is_terminal() else encoded
    sys.stdout.write(text.decode() + "\n")
    sys.stdout.flush()


def as_tree(value: object) -> None:
    """One value for people: JSON over many lines, coloured on a terminal."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=redact_hook)).decode()
    if is_terminal():
        console().print_json(text, highlight=True)
    else:
        say(text)


def as_json_line(value: object) -> None:
    """One of many values."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=redact_hook).decode() + "\n")
    sys.stdout.flush()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns: coloured on a terminal, else aligned with spaces."""
    if is_terminal():
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for head in heads:
            drawn.add_column(head, header_style="bold", overflow="fold")
        for row in rows:
            drawn.add_row(*(Text(clean(cell), style=STYLES.get(cell, "")) for cell in row))
        console().print(drawn)
        return
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        say("  ".join(cells).rstrip())


def facts(pairs: Sequence[tuple[str, str]], width: int = 0) -> None:
    """Names and values, one pair a line; empty values are left out. Names take `width` columns at least."""
    shown = [(name, value) for name, value in pairs if value]
    width = max([width, *(len(name) for name, _ in shown)])
    for name, value in shown:
        if is_terminal():
            from rich.text import Text

            console().print(
                Text.assemble((f"{name:<{width}}  ", "bold"), (clean(value), STYLES.get(value, "")))
            )
        else:
            say(f"{name:<{width}}  {value}")


def verdict(outcome: str, what: str, reason: str) -> None:
    """One thing that was looked at; the reason stands below it."""
    if is_terminal():
        from rich.text import Text

        console().print(
            Text.assemble("  ", (f"{outcome:<8}", STYLES.get(outcome, "")), clean(what))
        )
    else:
        say(f"  {outcome:<8}{what}")
    for line in reason.splitlines():
        say(f"            {clean(line)}")


def size(count: int) -> str:
    """Bytes for people."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
