"""`tunegate backends`, `launchers` and `plugins`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tunegate.contract.job import Installed
from tunegate.terminal import output
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.options import client, config_option, json_option, remote, settings

if TYPE_CHECKING:
    from tunegate.settings import Settings


@click.command()
@remote
def backends(url: str | None, as_json: bool) -> None:
    """List the gateway's backends: what can run."""
    with client(url) as gateway:
        found = gateway.backends()
    if as_json:
        output.as_json(found)
        return
    rows = [(*_row(e), ", ".join(e.methods), e.error or e.description) for e in found.data]
    output.table(("BACKEND", "STATE", "VERSION", "METHODS", "WHAT IT DOES"), rows)


@click.command()
@remote
def launchers(url: str | None, as_json: bool) -> None:
    """List the gateway's launchers: where jobs can run."""
    with client(url) as gateway:
        found = gateway.launchers()
    if as_json:
        output.as_json(found)
        return
    rows = [
        (
            *_row(e),
            _number(e, "gpus"),
            "yes" if e.capabilities.get("multi_node") else "no",
            e.error or e.description,
        )
        for e in found.data
    ]
    output.table(("LAUNCHER", "STATE", "VERSION", "GPUS", "NODES > 1", "WHERE"), rows)


@click.command()
@config_option
@json_option
def plugins(config: Path | None, as_json: bool) -> int:
    """List the plugins that are installed here, without a gateway. Exit code 1: one can't be loaded."""
    from tunegate.terminal.offline import backends_here, launchers_here

    chosen, _ = settings(config)
    groups = {
        "backend": backends_here(chosen).installed().data,
        "launcher": launchers_here(chosen).installed().data,
    }
    rows = [
        (kind, each.name, _state(each, chosen), each.version or "-", each.distribution or "-", each.error or each.description)
        for kind, found in groups.items()
        for each in found
    ]  # fmt: skip
    if as_json:
        output.as_json({f"{kind}s": found for kind, found in groups.items()})
    else:
        output.table(("KIND", "NAME", "STATE", "VERSION", "DISTRIBUTION", "WHAT IT DOES"), rows)
    return ExitCode.FAILED if any(row[2] == "trouble" for row in rows) else ExitCode.OK


def _state(entry: Installed, chosen: "Settings") -> str:
    """Launchers of tunegate's own that the operator does not use are no trouble."""
    unused = entry.distribution == "tunegate" and entry.name not in chosen.launchers
    return "ok" if entry.loaded else "not set up" if unused else "trouble"


def _row(entry: Installed) -> tuple[str, str, str]:
    return entry.name, "ok" if entry.loaded else "trouble", entry.version or "-"


def _number(entry: Installed, name: str) -> str:
    value = entry.capabilities.get(name)
    return "-" if value is None else str(value)
