"""The gateway that could be started here: settings, state, keys, store, plugins, launchers."""

import errno
import os
import resource
import shutil
import socket
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from tunegate.control.key_file import read_ring
from tunegate.control.keyring import KeyFileUnsafe
from tunegate.control.store.choose import administration
from tunegate.control.store.errors import StoreUnsafe
from tunegate.doctor import Finding, ok, trouble, warning
from tunegate.sdk.errors import TunegateError
from tunegate.settings import Settings, SettingsError, Tokens, load
from tunegate.terminal.failures import Failure
from tunegate.terminal.offline import backends_here, launchers_here

AREA = "gateway"
_DISK_WANTED, _FILES_WANTED = 2 * 10**9, 4096


def check_gateway(config: Path | None) -> Iterator[Finding]:
    """Everything, as far as the settings can be read."""
    try:
        settings, tokens = load(config, os.environ)
    except SettingsError as error:
        for problem in error.problems:
            yield trouble(AREA, "settings", problem, "`tunegate config` prints all settings with their defaults")  # fmt: skip
        return
    yield ok(AREA, "settings", f"{config or 'defaults'} and the environment")
    yield from _check_state(settings)
    yield from _check_keys(settings)
    yield from _check_store(settings)
    yield from _check_plugins(settings)
    yield from _check_address(settings, tokens)
    yield _check_files()


def _check_state(settings: Settings) -> Iterator[Finding]:
    folder = settings.state_path
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        yield trouble(AREA, "state", f"{folder} can't be written to", "set state_dir, or give the folder to this user")  # fmt: skip
        return
    free = shutil.disk_usage(there).free
    if free < _DISK_WANTED:
        yield warning(AREA, "state", f"{folder} has {free / 1e9:.1f} GB free", "make room: the store and runs of the local launcher live there")  # fmt: skip
    elif there == folder and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        yield warning(AREA, "state", f"{folder} can be read by others", f"chmod 700 {folder}")
    else:
        yield ok(AREA, "state", f"{folder}, {free / 1e9:.0f} GB free")


def _check_keys(settings: Settings) -> Iterator[Finding]:
    path = settings.key_path
    if not path.exists():
        yield ok(
            AREA, "keys", f"{path} is made at the first start; back it up apart from the store"
        )
        return
    try:
        ring = read_ring(path)
    except (KeyFileUnsafe, OSError) as error:
        yield trouble(AREA, "keys", str(error), "without the keys stored credentials can't be opened")  # fmt: skip
    else:
        yield ok(AREA, "keys", f"{len(ring.keys)} in {path}, {ring.active} seals")


def _check_store(settings: Settings) -> Iterator[Finding]:
    if settings.store.url is None and not settings.store_path.exists():
        yield ok(AREA, "store", f"{settings.store_path} is made at the first start")
        return
    try:
        store = administration(settings.store, settings.store_path)
        problems = [f"{what}: {problem}" for what, problem in store.checks() if problem]
    except (StoreUnsafe, ValueError) as error:
        yield trouble(AREA, "store", str(error), "see docs/STORE.md")
        return
    except TunegateError as error:
        yield trouble(AREA, "store", f"{error} ({error.__cause__})", "is the database running, and does store.url lead to it?")  # fmt: skip
        return
    for problem in problems:
        yield trouble(AREA, "store", problem, "`tunegate db check` and docs/STORE.md say more")
    if not problems:
        yield ok(AREA, "store", store.place)


def _check_plugins(settings: Settings) -> Iterator[Finding]:
    backends = backends_here(settings)
    for entry in backends.installed().data:
        if not entry.loaded:
            yield warning(AREA, f"backend {entry.name}", entry.error or "", _mend(entry.error, entry.distribution))  # fmt: skip
    if backends.names():
        yield ok(AREA, "backends", ", ".join(backends.names()))
    else:
        yield trouble(AREA, "backends", "none is installed", "pip install tunegate-huggingface-lora tunegate-qlora tunegate-full-finetune")  # fmt: skip
    try:
        launchers = launchers_here(settings)
    except Failure as failure:
        yield trouble(AREA, "launchers", str(failure), "mend this table of the settings, or remove it")  # fmt: skip
        return
    for entry in launchers.installed().data:
        if not entry.loaded and (entry.distribution != "tunegate" or entry.name in settings.launchers):  # fmt: skip
            yield warning(AREA, f"launcher {entry.name}", entry.error or "", _mend(entry.error, entry.distribution))  # fmt: skip
    usual = settings.control.default_launcher
    if launchers.get(usual) is None:
        yield trouble(AREA, "launchers", f"control.default_launcher {usual!r} is not in use", f"set it up in [launchers.{usual}], or name one of: {', '.join(launchers.names())}")  # fmt: skip
    else:
        yield ok(AREA, "launchers", f"{', '.join(launchers.names())}; jobs that name none run on {usual}")  # fmt: skip
    if [name for name in settings.launchers if name != "local"] and not settings.server.public_url:
        yield warning(AREA, "public_url", "runs on other machines can't call back to this one", "set server.public_url to the address by which they reach the gateway")  # fmt: skip


def _mend(error: str | None, distribution: str | None) -> str:
    if error and "plugins.allowed_distributions" in error:
        return f"if it is wanted, add {distribution!r} to plugins.allowed_distributions"
    return f"mend, upgrade or uninstall {distribution}; `tunegate plugin check {distribution}` says more"


def _check_address(settings: Settings, tokens: Tokens) -> Iterator[Finding]:
    host, port = settings.server.host, settings.server.port
    where = f"{host}:{port}"
    if _is_taken(host, port):
        yield ok(
            AREA,
            "address",
            f"something listens on {where} already; a gateway that is running, if all is well",
        )
    else:
        yield ok(AREA, "address", f"{where} is free")
    guarded = tokens or settings.auth.required or settings.auth.oidc
    yield ok(AREA, "callers", "need a token" if guarded else "need no token, and only this machine reaches the gateway")  # fmt: skip
    url = settings.server.public_url
    if url and urllib.parse.urlsplit(url).scheme == "http" and not _is_here(url):
        yield warning(AREA, "public_url", f"{url} sends tokens in clear", "put TLS in front of the gateway")  # fmt: skip


def _is_taken(host: str, port: int) -> bool:
    """Whether another process listens there: asked by listening oneself for a moment."""
    if not port:
        return False
    try:
        socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        ).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _is_here(url: str) -> bool:
    return urllib.parse.urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def _check_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES_WANTED:
        return warning(AREA, "open files", f"at most {hard:,}", "raise the limit (ulimit -Hn): each connection takes one")  # fmt: skip
    return ok(AREA, "open files", "as many as are needed" if hard == resource.RLIM_INFINITY else f"up to {hard:,}")  # fmt: skip
