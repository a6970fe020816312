"""`tunegate audit`: the audit log from the job store itself, beside a gateway that runs or without one."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from tunegate.contract.audit import AuditHead
from tunegate.control.audit import AuditFilter, Verifier
from tunegate.control.audit_keeper import pages
from tunegate.control.store.choose import make_store
from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.store.sql.store import SqlStore
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.errors import TunegateError
from tunegate.settings import Settings, SettingsError, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and which gateway's settings to go by."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file (or TUNEGATE_CONFIG)"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    export = actions.add_parser("export", help="write the entries to standard output, one per line")
    for name, meaning in (("since", "of then or later"), ("until", "before then")):
        export.add_argument(
            f"--{name}", type=moment_ms, metavar="TIME", help=f"only entries {meaning} (ISO 8601)"
        )
    export.add_argument("--tenant", help="only entries of this tenant")
    export.add_argument(
        "--kind", help="only entries of this kind, such as job.failed; `job.` is all of jobs"
    )
    actions.add_parser("head", help="the newest entry's number and hash, to be noted elsewhere")
    check = actions.add_parser(
        "verify", help="find entries that were removed, changed or moved; exit code 1: there are"
    )
    check.add_argument(
        "--head", metavar="HASH", help="a head noted before: it must still be in the log"
    )
    check.add_argument(
        "--file", type=Path, help="verify an export of the whole log instead of the store's"
    )


def moment_ms(text: str) -> int:
    """ISO 8601, in UTC where it does not say."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Exit code 2: the settings or the file can't be used; 1: the log or the store is not in order."""
    config = arguments.config or os.environ.get("TUNEGATE_CONFIG")
    try:
        if arguments.action == "verify" and arguments.file is not None:
            return _report(*_verify_file(arguments.file, arguments.head))
        settings, _ = load(Path(config) if config else None, os.environ)
        return asyncio.run(_with_store(settings, arguments))
    except SettingsError as error:
        return _fail(error.problems, 2)
    except (OSError, ValueError) as error:
        return _fail([str(error)], 2)
    except StoreUnsafe as unsafe:
        return _fail([str(unsafe)], 1)
    except TunegateError as error:
        return _fail([error.detail], 1)


async def _with_store(settings: Settings, arguments: argparse.Namespace) -> int:
    chosen = structs.replace(settings.store, migrate_at_start=False)
    store = make_store(chosen, settings.store_path, SystemClock())
    await store.open_to_read()
    try:
        match arguments.action:
            case "export":
                async for line in _lines(store, _filter(arguments)):
                    sys.stdout.buffer.write(line + b"\n")
                sys.stdout.flush()
                return 0
            case "head":
                head = await store.audit_head()
                sys.stdout.write(f"{head.sequence} {head.hash}\n")
                return 0
            case _:
                return _report(*await _verify_store(store, arguments.head))
    finally:
        await store.close()


def _filter(arguments: argparse.Namespace) -> AuditFilter:
    return AuditFilter(
        tenant=arguments.tenant,
        kind=arguments.kind,
        since_ms=arguments.since,
        until_ms=arguments.until,
    )


async def _lines(store: SqlStore, wanted: AuditFilter) -> AsyncGenerator[bytes]:
    async for page in pages(store, wanted):
        for _, line in page:
            yield line


async def _verify_store(store: SqlStore, anchor: str | None) -> tuple[Verifier, AuditHead | None]:
    """A gateway may go on writing: what it adds meanwhile is not looked at, what it trims is read anew."""
    while True:
        head, verifier = await store.audit_head(), Verifier(anchor)
        async for line in _lines(store, AuditFilter()):
            if verifier.head.sequence < head.sequence:
                verifier.take(line)
        if await _first(store) == verifier.first or verifier.count == 0:
            return verifier, head


async def _first(store: SqlStore) -> int:
    found = await store.read_audit(AuditFilter(), 0, 1)
    return found[0][0] if found else 0


def _verify_file(file: Path, anchor: str | None) -> tuple[Verifier, None]:
    verifier = Verifier(anchor)
    with file.open("rb") as lines:
        for line in lines:
            verifier.take(line.rstrip(b"\n"))
    return verifier, None


def _report(verifier: Verifier, head: AuditHead | None) -> int:
    problems = verifier.finish(head)
    if problems:
        return _fail(problems, 1)
    newest = verifier.head
    sys.stdout.write(
        f"{verifier.count} entries are as they were written; entry {newest.sequence} has hash {newest.hash}\n"
    )
    return 0


def _fail(problems: list[str], code: int) -> int:
    for problem in problems:
        sys.stderr.write(f"tunegate: {problem}\n")
    return code
