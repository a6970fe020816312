"""`tunegate audit`: the audit log from the job store itself, beside a gateway that runs or without one."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
from msgspec import structs

from tunegate.contract.audit import AuditHead
from tunegate.control.audit import AuditFilter, Verifier
from tunegate.control.audit_keeper import pages
from tunegate.control.store.choose import make_store
from tunegate.control.store.sql.store import SqlStore
from tunegate.sdk.clock import SystemClock
from tunegate.terminal import output
from tunegate.terminal.failures import Failure
from tunegate.terminal.operating import trouble_told
from tunegate.terminal.options import Group, config_option, json_option, settings

T = TypeVar("T")


@click.group(cls=Group)
@config_option
@click.pass_context
def command(ctx: click.Context, config: Path | None) -> None:
    """Export the audit log, and find out whether anybody changed it.

    Exit codes: 1, the log or the store is not in order; 2, the settings or a file can't be used.
    """
    ctx.obj = config


def moment_ms(text: str) -> int:
    """ISO 8601, in UTC where it does not say; milliseconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time such as 2026-01-31T12:00Z") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@command.command()
@click.option(
    "--since", type=moment_ms, metavar="TIME", help="Only entries of then or later (ISO 8601)."
)
@click.option(
    "--until", type=moment_ms, metavar="TIME", help="Only entries before then (ISO 8601)."
)
@click.option("--tenant", metavar="NAME", help="Only entries of this tenant.")
@click.option(
    "--kind", help="Only entries of this kind, such as job.failed; `job.` is all of jobs."
)
@click.pass_obj
def export(
    config: Path | None, since: int | None, until: int | None, tenant: str | None, kind: str | None
) -> None:
    """Write the entries to standard output, one JSON object per line."""
    wanted = AuditFilter(tenant=tenant, kind=kind, since_ms=since, until_ms=until)

    async def write(store: SqlStore) -> None:
        async for line in _lines(store, wanted):
            sys.stdout.buffer.write(line + b"\n")
        sys.stdout.flush()

    _with_store(config, write)


@command.command()
@json_option
@click.pass_obj
def head(config: Path | None, as_json: bool) -> None:
    """The newest entry's number and hash, to be noted elsewhere."""
    newest = _with_store(config, lambda store: store.audit_head())
    if as_json:
        output.as_json(newest)
    else:
        output.say(f"{newest.sequence} {newest.hash}")


@command.command()
@click.option(
    "--head", "anchor", metavar="HASH", help="A head noted before: it must still be in the log."
)
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Verify an export of the whole log instead of the store's.")  # fmt: skip
@json_option
@click.pass_obj
def verify(config: Path | None, anchor: str | None, file: Path | None, as_json: bool) -> None:
    """Find entries that were removed, changed or moved; exit code 1: there are."""
    if file is not None:
        with trouble_told():
            verifier, newest = _verify_file(file, anchor), None
    else:
        verifier, newest = _with_store(config, lambda store: _verify_store(store, anchor))
    problems = verifier.finish(newest)
    if problems:
        raise Failure(problems)
    last = verifier.head
    if as_json:
        output.as_json({"entries": verifier.count, "head": last})
    else:
        output.say(f"{verifier.count} entries are as they were written; entry {last.sequence} has hash {last.hash}")  # fmt: skip


def _with_store(config: Path | None, ask: Callable[[SqlStore], Awaitable[T]]) -> T:
    async def asked() -> T:
        found = structs.replace(chosen.store, migrate_at_start=False)
        store = make_store(found, chosen.store_path, SystemClock())
        await store.open_to_read()
        try:
            return await ask(store)
        finally:
            await store.close()

    with trouble_told():
        chosen, _ = settings(config)
        return asyncio.run(asked())


async def _lines(store: SqlStore, wanted: AuditFilter) -> AsyncGenerator[bytes]:
    async for page in pages(store, wanted):
        for _, line in page:
            yield line


async def _verify_store(store: SqlStore, anchor: str | None) -> tuple[Verifier, AuditHead | None]:
    """A gateway may go on writing: what it adds meanwhile is not looked at, what it trims is read anew."""
    while True:
        newest, verifier = await store.audit_head(), Verifier(anchor)
        async for line in _lines(store, AuditFilter()):
            if verifier.head.sequence < newest.sequence:
                verifier.take(line)
        if await _first(store) == verifier.first or verifier.count == 0:
            return verifier, newest


async def _first(store: SqlStore) -> int:
    found = await store.read_audit(AuditFilter(), 0, 1)
    return found[0][0] if found else 0


def _verify_file(file: Path, anchor: str | None) -> Verifier:
    verifier = Verifier(anchor)
    with file.open("rb") as lines:
        for line in lines:
            verifier.take(line.rstrip(b"\n"))
    return verifier
