"""`tunegate keys`: the keys that seal credentials. A gateway that runs notices a change by itself."""

import argparse
import asyncio
import os
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from tunegate.control.key_file import change_ring, read_ring
from tunegate.control.keyring import KeyFileUnsafe, KeyRing, retiring, rotating, staging
from tunegate.control.rewrapping import keys_in_use, rewrap
from tunegate.control.sealer import SERVICE, Sealer
from tunegate.control.store.choose import make_store
from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.store.sql.store import SqlStore
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.errors import TunegateError
from tunegate.settings import Settings, SettingsError, load
from tunegate.storage.kms import KmsKeys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and which gateway's settings to go by."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file (or TUNEGATE_CONFIG)"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("status", help="the keys, and how many jobs' secrets hang on each")
    actions.add_parser(
        "stage",
        help="make a new key that nothing is sealed with yet; for gateways whose key files change one after the other",
    )
    actions.add_parser("rotate", help="seal with the staged key from now on, or with a new one")
    actions.add_parser(
        "rewrap", help="move the secrets of live jobs to the newest key; running gateways do it too"
    )
    retire = actions.add_parser(
        "retire", help="remove a key for good; what it sealed, in backups too, can't be opened then"
    )
    retire.add_argument("key", nargs="?", help="its id (all old ones that nothing uses)")


def run(arguments: argparse.Namespace) -> int:
    """Do it. Exit code 2: the settings or the key file can't be used; 1: it can't be done now."""
    file = arguments.config or os.environ.get("TUNEGATE_CONFIG")
    try:
        settings, _ = load(Path(file) if file else None, os.environ)
        match arguments.action:
            case "status":
                _show(read_ring(settings.key_path), asyncio.run(_usage(settings)), settings)
            case "stage":
                ring = change_ring(settings.key_path, lambda ring: staging(ring, _now()))
                _say(f"{ring.staged} is staged; `tunegate keys rotate` puts it to use")
            case "rotate":
                ring = change_ring(settings.key_path, lambda ring: rotating(ring, _now()))
                _say(f"{ring.active} seals from now on")
            case "rewrap":
                _say(f"{asyncio.run(_rewrap(settings))} jobs moved to the newest key")
            case _:
                return _retire(settings, arguments.key)
    except SettingsError as error:
        return _fail(error.problems, 2)
    except (KeyFileUnsafe, OSError, ValueError) as error:
        return _fail([str(error)], 2)
    except StoreUnsafe as unsafe:
        return _fail([str(unsafe)], 1)
    except TunegateError as error:
        return _fail([error.detail], 1)
    return 0


def _show(ring: KeyRing, used: Counter[str], settings: Settings) -> None:
    service = settings.keys.kms_key_id
    names = [SERVICE + service] if service else []
    known = [*names, *ring.keys]
    for name in [*known, *(name for name in used if name not in known)]:
        if name == known[0]:
            role = "active"
        elif name == ring.staged:
            role = "staged"
        else:
            role = "old" if name in known or name.startswith(SERVICE) else "MISSING"
        _say(f"{name}  {role}  {used[name]} in use")


def _retire(settings: Settings, key: str | None) -> int:
    used = asyncio.run(_usage(settings))
    ring = read_ring(settings.key_path)
    kept = {ring.active, ring.staged}
    if key is None:
        chosen = [name for name in ring.keys if name not in kept and not used[name]]
    elif key not in ring.keys or key in kept:
        return _fail([f"{key} is no old key of this ring."], 1)
    elif used[key]:
        return _fail([f"{used[key]} jobs still hang on {key}; see `tunegate keys rewrap`."], 1)
    else:
        chosen = [key]
    for name in chosen:
        change_ring(settings.key_path, lambda ring, name=name: retiring(ring, name))
        _say(f"{name} is gone")
    if not chosen:
        _say("nothing to do")
    return 0


async def _usage(settings: Settings) -> Counter[str]:
    store = _store(settings)
    await store.open_to_read()
    try:
        return await keys_in_use(store)
    finally:
        await store.close()


async def _rewrap(settings: Settings) -> int:
    keys = settings.keys
    async with AsyncExitStack() as stack:
        service = None
        if keys.kms_key_id is not None:
            kms = KmsKeys(keys.kms_key_id, keys.kms_region, keys.kms_endpoint_url)
            service = await stack.enter_async_context(kms)
        store = _store(settings)
        await store.open()
        stack.push_async_callback(store.close)
        return await rewrap(store, Sealer(settings.key_path, service))


def _store(settings: Settings) -> SqlStore:
    """Without migrations: those are another command's."""
    chosen = structs.replace(settings.store, migrate_at_start=False)
    return make_store(chosen, settings.store_path, SystemClock())


def _now() -> datetime:
    return datetime.now(UTC)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _fail(problems: list[str], code: int) -> int:
    for problem in problems:
        sys.stderr.write(f"tunegate: {problem}\n")
    return code
