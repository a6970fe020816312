"""`tunegate db`: the job store from outside a gateway."""

import argparse
import os
import sys
import time
from pathlib import Path

from tunegate.control.store.choose import Administration, administration
from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.store.schema import check_current, migrate, pending, state_of
from tunegate.control.store.sql import generation
from tunegate.sdk.errors import TunegateError
from tunegate.settings import SettingsError, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and which gateway's settings to go by."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file (or TUNEGATE_CONFIG)"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("status", help="which schema the store has, and what is missing")
    actions.add_parser("check", help="whether the store keeps what it is given; exit code 1: not")
    actions.add_parser(
        "renew", help="after a restore from a backup: what was launched since is not taken for lost"
    )
    command = actions.add_parser("migrate", help="bring the schema up to date")
    command.add_argument("--to", type=int, metavar="N", help="no further than version N")
    command.add_argument(
        "--dry-run", action="store_true", help="print the SQL instead of running it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it. Exit code 2: the settings can't be used; 1: the store can't."""
    file = arguments.config or os.environ.get("TUNEGATE_CONFIG")
    try:
        settings, _ = load(Path(file) if file else None, os.environ)
        store = administration(settings.store, settings.store_path)
    except SettingsError as error:
        return _fail(error.problems, 2)
    except ValueError as error:
        return _fail([str(error)], 2)
    try:
        match arguments.action:
            case "status":
                return _status(store)
            case "check":
                return _check(store)
            case "renew":
                return _renew(store)
            case _:
                return _migrate(store, arguments.to, dry_run=arguments.dry_run)
    except StoreUnsafe as unsafe:
        return _fail([str(unsafe)], 1)
    except TunegateError as error:
        return _fail([f"{error} ({store.place}: {error.__cause__})"], 1)


def _status(store: Administration) -> int:
    with store.schema(to_write=False) as db:
        state, missing = state_of(db), pending(db, store.known())
        life = generation.present(db)
    _say(f"store     {store.place}")
    _say(f"schema    {state.version}; this release knows {store.known()[-1].version}")
    _say(
        f"writers   any that know schema {state.min_writer}"
        if state.min_writer
        else "writers   any"
    )
    _say(f"life      {life or 'none yet'}")
    _say("missing   " + (", ".join(migration.name for migration in missing) or "nothing"))
    return 0


def _check(store: Administration) -> int:
    _say(store.place)
    found = list(store.checks())
    for what, problem in found:
        _say(f"  {what}: {problem or 'ok'}")
    return int(any(problem for _, problem in found))


def _renew(store: Administration) -> int:
    with store.schema(to_write=True) as db:
        check_current(state_of(db), store.known())
        before, now = generation.present(db), generation.renew(db)
    _say(f"life      {now}, was {before}; start the gateways again")
    return 0


def _migrate(store: Administration, to: int | None, *, dry_run: bool) -> int:
    if dry_run:
        with store.schema(to_write=False) as db:
            missing = [m for m in pending(db, store.known()) if to is None or m.version <= to]
        for migration in missing:
            _say(f"-- {migration.name}\n{migration.script}")
        return 0
    with store.schema(to_write=True) as db:
        applied = migrate(db, store.known(), time.time_ns() // 1_000_000, to)
    for migration in applied:
        _say(f"applied {migration.name}")
    if not applied:
        _say("nothing to do")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _fail(problems: list[str], code: int) -> int:
    for problem in problems:
        sys.stderr.write(f"tunegate: {problem}\n")
    return code
