"""`tunegate keys`: the keys that seal credentials. A gateway that runs notices a change by itself."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec import structs

from tunegate.control.key_file import change_ring, read_ring
from tunegate.control.keyring import KeyRing, retiring, rotating, staging
from tunegate.control.rewrapping import keys_in_use, rewrap
from tunegate.control.sealer import SERVICE, Sealer
from tunegate.control.store.choose import make_store
from tunegate.control.store.sql.store import SqlStore
from tunegate.sdk.clock import SystemClock
from tunegate.settings import Settings
from tunegate.storage.kms import KmsKeys
from tunegate.terminal import output
from tunegate.terminal.failures import Failure
from tunegate.terminal.operating import trouble_told
from tunegate.terminal.options import Group, config_option, json_option, settings


@click.group(cls=Group)
@config_option
@click.pass_context
def command(ctx: click.Context, config: Path | None) -> None:
    """Look at the keys that seal credentials, rotate and retire them.

    Exit codes: 1, it can't be done now; 2, the settings or the key file can't be used.
    """
    ctx.obj = config


@command.command()
@json_option
@click.pass_obj
def status(config: Path | None, as_json: bool) -> None:
    """The keys, and how many jobs' secrets hang on each. Makes the key file where there is none."""
    with trouble_told():
        chosen, _ = settings(config)
        ring = read_ring(chosen.key_path)
        used = asyncio.run(_usage(chosen)) if _has_store(chosen) else None
        found = _roles(ring, used, chosen)
    if as_json:
        names = ("key", "role", "jobs")
        output.as_json({"keys": [dict(zip(names, row, strict=True)) for row in found]})
    else:
        for name, role, jobs in found:
            output.say(
                f"{name}  {role}  {'no job store here' if jobs is None else f'{jobs} in use'}"
            )


@command.command()
@json_option
@click.pass_obj
def stage(config: Path | None, as_json: bool) -> None:
    """Make a new key that nothing is sealed with yet.

    For gateways whose key files change one after the other.
    """
    with trouble_told():
        chosen, _ = settings(config)
        ring = change_ring(chosen.key_path, lambda ring: staging(ring, _now()))
    if as_json:
        output.as_json({"staged": ring.staged})
    else:
        output.say(f"{ring.staged} is staged; `tunegate keys rotate` puts it to use")


@command.command()
@json_option
@click.pass_obj
def rotate(config: Path | None, as_json: bool) -> None:
    """Seal with the staged key from now on, or with a new one."""
    with trouble_told():
        chosen, _ = settings(config)
        ring = change_ring(chosen.key_path, lambda ring: rotating(ring, _now()))
    if as_json:
        output.as_json({"active": ring.active})
    else:
        output.say(f"{ring.active} seals from now on")


@command.command("rewrap")
@json_option
@click.pass_obj
def rewrap_(config: Path | None, as_json: bool) -> None:
    """Move the secrets of live jobs to the newest key; running gateways do it too."""
    with trouble_told():
        chosen, _ = settings(config)
        moved = asyncio.run(_rewrap(chosen))
    if as_json:
        output.as_json({"moved": moved})
    else:
        output.say(f"{moved} jobs moved to the newest key")


@command.command()
@click.argument("key", required=False)
@json_option
@click.pass_obj
def retire(config: Path | None, key: str | None, as_json: bool) -> None:
    """Remove KEY for good (by default all old ones that nothing uses).

    What it sealed, in backups too, can't be opened then.
    """
    with trouble_told():
        chosen, _ = settings(config)
        used = asyncio.run(_usage(chosen))
        gone = _to_retire(read_ring(chosen.key_path), used, key)
        for name in gone:
            change_ring(chosen.key_path, lambda ring, name=name: retiring(ring, name))
            if not as_json:
                output.say(f"{name} is gone")
    if as_json:
        output.as_json({"retired": gone})
    elif not gone:
        output.say("nothing to do")


def _to_retire(ring: KeyRing, used: Counter[str], key: str | None) -> list[str]:
    kept = {ring.active, ring.staged}
    if key is None:
        return [name for name in ring.keys if name not in kept and not used[name]]
    if key not in ring.keys or key in kept:
        raise Failure(f"{key} is no old key of this ring.")
    if used[key]:
        raise Failure(f"{used[key]} jobs still hang on {key}; see `tunegate keys rewrap`.")
    return [key]


def _roles(
    ring: KeyRing, used: Counter[str] | None, chosen: Settings
) -> list[tuple[str, str, int | None]]:
    """Key, its part, and the jobs that hang on it (None = not known here)."""
    service = chosen.keys.kms_key_id
    known = [*([SERVICE + service] if service else []), *ring.keys]
    found: list[tuple[str, str, int | None]] = []
    for name in [*known, *(name for name in used or () if name not in known)]:
        if name == known[0]:
            role = "active"
        elif name == ring.staged:
            role = "staged"
        else:
            role = "old" if name in known or name.startswith(SERVICE) else "MISSING"
        found.append((name, role, None if used is None else used[name]))
    return found


def _has_store(chosen: Settings) -> bool:
    """A key file may be made before the first gateway starts. Not asked before a key goes: the path could be wrong."""
    return chosen.store.url is not None or chosen.store_path.exists()


async def _usage(chosen: Settings) -> Counter[str]:
    store = _store(chosen)
    await store.open_to_read()
    try:
        return await keys_in_use(store)
    finally:
        await store.close()


async def _rewrap(chosen: Settings) -> int:
    keys = chosen.keys
    async with AsyncExitStack() as stack:
        service = None
        if keys.kms_key_id is not None:
            kms = KmsKeys(keys.kms_key_id, keys.kms_region, keys.kms_endpoint_url)
            service = await stack.enter_async_context(kms)
        store = _store(chosen)
        await store.open()
        stack.push_async_callback(store.close)
        return await rewrap(store, Sealer(chosen.key_path, service))


def _store(chosen: Settings) -> SqlStore:
    """Without migrations: those are another command's."""
    found = structs.replace(chosen.store, migrate_at_start=False)
    return make_store(found, chosen.store_path, SystemClock())


def _now() -> datetime:
    return datetime.now(UTC)
