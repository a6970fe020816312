"""`tunegate token`: make, list, rotate and revoke tokens, in the store or through a running gateway."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tunegate.commands.gateway_api import GatewayApi, GatewayError
from tunegate.contract.decode import decode
from tunegate.contract.guard import RequestError
from tunegate.contract.secret import decode_hook
from tunegate.contract.tokens import IssuedToken, NewToken, Rotation, Token, TokenList
from tunegate.control.store.choose import make_store
from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.token_keeper import TokenKeeper
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.errors import TunegateError
from tunegate.settings import SettingsError, load

T = TypeVar("T")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and where."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file (or TUNEGATE_CONFIG)"
    )
    parser.add_argument(
        "--url",
        default=os.environ.get("TUNEGATE_URL"),
        help="ask the gateway there (or TUNEGATE_URL), with an admin's token in TUNEGATE_TOKEN; else the store is opened",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a token; it is shown this once")
    create.add_argument("tenant", help="whose jobs it may see and submit")
    create.add_argument("--label", default="", help="for people: whose it is, or what for")
    create.add_argument("--read-only", action="store_true", help="may look, may not submit")
    create.add_argument("--admin", action="store_true", help="may make and revoke tokens")
    for name in ("uri-prefix", "backend", "launcher"):
        create.add_argument(f"--{name}", action="append", help="may stand several times")
    create.add_argument("--max-gpus", type=int, help="GPUs that its running jobs may hold")
    create.add_argument("--max-jobs", type=int, help="unfinished jobs at once")
    create.add_argument("--expires-in", type=seconds, metavar="TIME", help="such as 12h or 90d")
    listing = actions.add_parser("list", help="all tokens, oldest first")
    listing.add_argument("--tenant", help="only this tenant's")
    listing.add_argument("--json", action="store_true", help="as JSON")
    rotate = actions.add_parser("rotate", help="make a new token with the same rights")
    rotate.add_argument("token_id")
    rotate.add_argument(
        "--overlap", type=seconds, default=86_400.0, help="so long the old one works on (1d)"
    )
    revoke = actions.add_parser("revoke", help="shut a token out")
    revoke.add_argument("token_id")


def seconds(text: str) -> float:
    """`90d`, `12h`, `30m`, `5s` or plain seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS_S else (text, "s")
    return float(number) * UNITS_S[unit]


def run(arguments: argparse.Namespace) -> int:
    """Do it. Exit code 2: the settings can't be used; 1: it can't be done."""
    try:
        return _act(arguments, _desk(arguments))
    except SettingsError as error:
        return _fail(error.problems, 2)
    except (GatewayError, StoreUnsafe, TunegateError, RequestError, ValueError) as error:
        hint = "" if arguments.url else _HINT if isinstance(error, StoreUnsafe) else ""
        return _fail([f"{error}{hint}"], 1)


_HINT = "\nWhile a gateway holds the store, ask it: --url and an admin's token in TUNEGATE_TOKEN."


class _Remote:
    """The keeper of a running gateway."""

    def __init__(self, api: GatewayApi) -> None:
        self._api = api

    def issue(self, wanted: NewToken) -> IssuedToken:
        body = msgspec.to_builtins(wanted)
        return _as(IssuedToken, self._api.call("POST", "/tokens", body))

    def all(self, tenant: str | None) -> TokenList:
        query = f"?tenant={tenant}" if tenant else ""
        return _as(TokenList, self._api.call("GET", f"/tokens{query}"))

    def rotate(self, token_id: str, rotation: Rotation) -> IssuedToken:
        body = msgspec.to_builtins(rotation)
        return _as(IssuedToken, self._api.call("POST", f"/tokens/{token_id}/rotate", body))

    def revoke(self, token_id: str) -> None:
        self._api.call("DELETE", f"/tokens/{token_id}")


class _Local:
    """A keeper on the store itself."""

    def __init__(self, file: Path | None) -> None:
        self._settings, _ = load(file, os.environ)

    def issue(self, wanted: NewToken) -> IssuedToken:
        return self._with(lambda keeper: keeper.issue(wanted))

    def all(self, tenant: str | None) -> TokenList:
        return self._with(lambda keeper: keeper.all(tenant))

    def rotate(self, token_id: str, rotation: Rotation) -> IssuedToken:
        return self._with(lambda keeper: keeper.rotate(token_id, rotation))

    def revoke(self, token_id: str) -> None:
        self._with(lambda keeper: keeper.revoke(token_id))

    def _with(self, ask: Callable[[TokenKeeper], Any]) -> Any:
        async def asked() -> Any:
            clock = SystemClock()
            store = make_store(self._settings.store, self._settings.store_path, clock)
            await store.open()
            try:
                return await ask(TokenKeeper(store, clock))
            finally:
                await store.close()

        self._settings.state_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return asyncio.run(asked())


def _desk(arguments: argparse.Namespace) -> _Remote | _Local:
    if arguments.url:
        return _Remote(GatewayApi(arguments.url))
    file = arguments.config or os.environ.get("TUNEGATE_CONFIG")
    return _Local(Path(file) if file else None)


def _act(arguments: argparse.Namespace, desk: _Remote | _Local) -> int:
    match arguments.action:
        case "create":
            _show_issued(desk.issue(_wanted(arguments)))
        case "list":
            found = desk.all(arguments.tenant)
            _say(msgspec.json.encode(found).decode() if arguments.json else _table(found.data))
        case "rotate":
            _show_issued(desk.rotate(arguments.token_id, Rotation(overlap_s=arguments.overlap)))
        case _:
            desk.revoke(arguments.token_id)
            _say(f"{arguments.token_id} is revoked")
    return 0


def _wanted(arguments: argparse.Namespace) -> NewToken:
    """Checked as the API checks it."""
    given = {
        "tenant": arguments.tenant,
        "label": arguments.label,
        "read_only": arguments.read_only,
        "admin": arguments.admin,
        "uri_prefixes": arguments.uri_prefix,
        "backends": arguments.backend,
        "launchers": arguments.launcher,
        "max_gpus": arguments.max_gpus,
        "max_jobs": arguments.max_jobs,
        "expires_in_s": arguments.expires_in,
    }
    return decode(NewToken, msgspec.json.encode(given))


def _show_issued(issued: IssuedToken) -> None:
    """The secret alone on standard output, so that it can be piped into a file."""
    token = issued.token
    until = f", until {token.expires_at}" if token.expires_at else ""
    sys.stderr.write(f"{token.token_id} of tenant {token.tenant}{until}; shown this once:\n")
    _say(issued.secret.reveal())


def _table(tokens: list[Token]) -> str:
    rows = [("ID", "TENANT", "LABEL", "MAY", "STATE", "LAST USED")]
    rows += [(t.token_id, t.tenant, t.label, _may(t), _state(t), t.last_used_at or "-") for t in tokens]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)


def _may(token: Token) -> str:
    scope = "read" if token.read_only else "submit"
    return f"{scope}, admin" if token.admin else scope


def _state(token: Token) -> str:
    if token.usable:
        return f"until {token.expires_at}" if token.expires_at else "usable"
    return "revoked" if token.revoked_at else "expired"


def _as(kind: type[T], value: Any) -> T:
    return msgspec.convert(value, kind, dec_hook=decode_hook)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _fail(problems: list[str], code: int) -> int:
    for problem in problems:
        sys.stderr.write(f"tunegate: {problem}\n")
    return code
