"""`tunegate plugin`: begin a plugin, and find out whether one keeps all rules."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast

import click
import msgspec

from tunegate.contract.base import Wire
from tunegate.scaffold import new_plugin, write_plugin
from tunegate.terminal import output, request_file
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure
from tunegate.terminal.options import Group, config_option, json_option, set_option, settings


class Verdict(Wire):
    """A line of `tunegate.sdk.testing.check`, which needs pytest and so is not imported here."""

    rule: str
    outcome: str
    reason: str = ""


GROUPS = {"backend": "tunegate.backends", "launcher": "tunegate.launchers"}
OWN = "tunegate"


@click.group(cls=Group)
def command() -> None:
    """Begin a plugin, and find out whether one keeps all rules; docs/PLUGINS.md is the tutorial."""


@command.command()
@click.argument("name")
@click.option(
    "--launcher",
    is_flag=True,
    help="A launcher: where jobs run. Without this a backend: what runs.",
)
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER", help="Where to write it [default: tunegate-NAME].")  # fmt: skip
@json_option
def new(name: str, launcher: bool, into: Path | None, as_json: bool) -> None:
    """Write a pip package with the plugin NAME that works at once, its tests and its README."""
    kind = "launcher" if launcher else "backend"
    taken = [entry for entry in entry_points(group=GROUPS[kind]) if entry.name == name]
    if taken:
        raise Failure(f"a {kind} of the name {name!r} is installed already: {_owner(taken[0])}")
    folder = into or Path(f"tunegate-{name}")
    try:
        found = new_plugin(kind, name)
        write_plugin(found, folder)
    except ValueError as error:
        raise Failure(str(error), ExitCode.USAGE) from None
    except OSError as error:
        raise Failure(str(error)) from None
    if as_json:
        output.as_json({"folder": str(folder), "files": [str(path) for path in found]})
        return
    for path in found:
        output.say(str(folder / path))
    output.hint(
        f"next: cd {folder} && pip install -e '.[test]' && tunegate plugin check tunegate-{name}"
    )


@command.command()
@click.argument("distribution", required=False, metavar="[DIST]")
@set_option
@config_option
@json_option
def check(
    distribution: str | None, changes: tuple[str, ...], config: Path | None, as_json: bool
) -> int:
    """Run the conformance suite on the plugins of an installed package (default: all but tunegate's own).

    Launchers are given their table of --config, and --set changes it, as in --set cpus=4. Exit code 1: a rule is broken.
    """
    missing = [
        name for name in ("pytest", "pytest_asyncio", "hypothesis") if find_spec(name) is None
    ]
    if missing:
        raise Failure(f"{', '.join(missing)} missing: pip install 'tunegate[testing]'")
    chosen = list(_chosen(distribution))
    if not chosen:
        where = f"the package {distribution} is not installed, or has no plugin" if distribution else "no plugin is installed"  # fmt: skip
        raise Failure(f"{where}; `tunegate plugins` lists all")
    tables = settings(config)[0].launchers
    found = [
        (kind, entry, _checked(kind, entry, _table(kind, entry, tables, changes), quiet=as_json))
        for kind, entry in chosen
    ]
    broken = any(verdict.outcome == "failed" for _, _, verdicts in found for verdict in verdicts)
    if as_json:
        output.as_json(
            {
                "plugins": [
                    {"kind": kind, "name": entry.name, "distribution": _owner(entry), "verdicts": verdicts}
                    for kind, entry, verdicts in found
                ],
                "ok": not broken,
            }
        )  # fmt: skip
    return ExitCode.FAILED if broken else ExitCode.OK


def _chosen(distribution: str | None) -> Iterable[tuple[str, EntryPoint]]:
    from tunegate.control.plugins import normalised

    for kind, group in GROUPS.items():
        for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
            owner = normalised(_owner(entry))
            if owner == normalised(distribution) if distribution else owner != OWN:
                yield kind, entry


def _table(
    kind: str, entry: EntryPoint, tables: dict[str, dict[str, Any]], changes: tuple[str, ...]
) -> dict[str, Any]:
    """A launcher's settings."""
    if kind != "launcher":
        return {}
    table = dict(tables.get(entry.name, {}))
    request_file.change(table, changes)
    return table


def _checked(kind: str, entry: EntryPoint, table: dict[str, Any], *, quiet: bool) -> list[Verdict]:
    """All verdicts; people see each as it comes."""
    verdicts: list[Verdict] = []
    if not quiet:
        output.say(f"{kind} {entry.name} of {_owner(entry)}")
    for verdict in _verdicts(kind, entry, table):
        verdicts.append(verdict)
        if not quiet:
            output.verdict(verdict.outcome, verdict.rule, verdict.reason)
    if not quiet:
        counts = Counter(verdict.outcome for verdict in verdicts)
        output.say(", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + "\n")
    return verdicts


def _verdicts(kind: str, entry: EntryPoint, table: dict[str, Any]) -> Iterator[Verdict]:
    with subprocess.Popen(  # noqa: S603  our own module, on a plugin that is installed here
        [sys.executable, "-m", "tunegate.sdk.testing.check", kind, entry.value],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as suite:
        said = ThreadPoolExecutor(1).submit(cast("IO[bytes]", suite.stderr).read)
        with cast("IO[bytes]", suite.stdin) as given:
            given.write(msgspec.json.encode(table))
        for line in cast("IO[bytes]", suite.stdout):
            yield msgspec.json.decode(line, type=Verdict)
    if suite.returncode:
        last = said.result().decode(errors="replace").strip().splitlines()[-1:]
        reason = f"its process ended with {suite.returncode}: {''.join(last)}"
        yield Verdict(rule="lets the suite end", outcome="failed", reason=reason)


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "?"
