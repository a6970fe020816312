"""`tunegate db`: the job store from outside a gateway."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from tunegate.control.store.choose import Administration, administration
from tunegate.control.store.schema import check_current, migrate, pending, state_of
from tunegate.control.store.sql import generation
from tunegate.sdk.errors import TunegateError
from tunegate.terminal import output
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure
from tunegate.terminal.operating import trouble_told
from tunegate.terminal.options import Group, config_option, json_option, settings


@click.group(cls=Group)
@config_option
@click.pass_context
def command(ctx: click.Context, config: Path | None) -> None:
    """Look at the job store, check it, bring its schema up to date.

    Exit codes: 1, the store is not in order; 2, the settings can't be used.
    """
    ctx.obj = config


def _store(config: Path | None) -> Administration:
    with trouble_told():
        chosen, _ = settings(config)
        return administration(chosen.store, chosen.store_path)


@command.command()
@json_option
@click.pass_obj
def status(config: Path | None, as_json: bool) -> None:
    """Which schema the store has, and what is missing."""
    store = _store(config)
    with _telling(store), store.schema(to_write=False) as db:
        state, missing = state_of(db), [m.name for m in pending(db, store.known())]
        life, newest = generation.present(db), store.known()[-1].version
    if as_json:
        output.as_json(
            {"store": store.place, "schema": state.version, "newest": newest, "min_writer": state.min_writer,
             "life": life, "missing": missing}
        )  # fmt: skip
        return
    writers = f"any that know schema {state.min_writer}" if state.min_writer else "any"
    output.facts(
        [
            ("store", store.place),
            ("schema", f"{state.version}; this release knows {newest}"),
            ("writers", writers),
            ("life", life or "none yet"),
            ("missing", ", ".join(missing) or "nothing"),
        ],
        width=8,
    )


@command.command()
@json_option
@click.pass_obj
def check(config: Path | None, as_json: bool) -> int:
    """Whether the store keeps what it is given; exit code 1: not."""
    store = _store(config)
    with _telling(store):
        found = list(store.checks())
    if as_json:
        checks = [{"check": what, "problem": problem} for what, problem in found]
        output.as_json({"store": store.place, "checks": checks})
    else:
        output.say(store.place)
        for what, problem in found:
            output.say(f"  {what}: {problem or 'ok'}")
    return ExitCode.FAILED if any(problem for _, problem in found) else ExitCode.OK


@command.command()
@json_option
@click.pass_obj
def renew(config: Path | None, as_json: bool) -> None:
    """After a restore from a backup: what was launched since is not taken for lost."""
    store = _store(config)
    with _telling(store), store.schema(to_write=True) as db:
        check_current(state_of(db), store.known())
        before, now = generation.present(db), generation.renew(db)
    if as_json:
        output.as_json({"life": now, "before": before})
    else:
        output.say(f"life      {now}, was {before}; start the gateways again")


@command.command("migrate")
@click.option("--to", type=int, metavar="N", help="No further than version N.")
@click.option("--dry-run", is_flag=True, help="Print the SQL instead of running it.")
@json_option
@click.pass_obj
def migrate_(config: Path | None, to: int | None, dry_run: bool, as_json: bool) -> None:
    """Bring the schema up to date."""
    store = _store(config)
    with _telling(store), store.schema(to_write=not dry_run) as db:
        if dry_run:
            done = [m for m in pending(db, store.known()) if to is None or m.version <= to]
        else:
            done = migrate(db, store.known(), time.time_ns() // 1_000_000, to)
    if as_json:
        output.as_json({"applied": [] if dry_run else [m.name for m in done], "pending": [m.name for m in done] if dry_run else []})  # fmt: skip
        return
    for migration in done:
        output.say(f"-- {migration.name}\n{migration.script}" if dry_run else f"applied {migration.name}")  # fmt: skip
    if not done and not dry_run:
        output.say("nothing to do")


@contextmanager
def _telling(store: Administration) -> Generator[None]:
    """Trouble, with the store's place in it; the password is not."""
    with trouble_told():
        try:
            yield
        except TunegateError as error:
            raise Failure(f"{error} ({store.place}: {error.__cause__})") from None
