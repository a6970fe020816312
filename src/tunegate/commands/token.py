"""`tunegate token`: make, list, rotate and revoke tokens, in the store or through a running gateway."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from tunegate.client import Client, ClientError
from tunegate.contract.decode import decode
from tunegate.contract.guard import RequestError
from tunegate.contract.secret import reveal_hook
from tunegate.contract.tokens import IssuedToken, NewToken, Rotation, Token, TokenList
from tunegate.control.store.choose import make_store
from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.token_keeper import TokenKeeper
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.errors import TunegateError
from tunegate.terminal import output
from tunegate.terminal.failures import Failure
from tunegate.terminal.operating import trouble_told
from tunegate.terminal.options import Group, config_option, json_option, settings

T = TypeVar("T")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class StoreDesk:
    """What `Client` does for tokens, on the store itself."""

    def __init__(self, config: Path | None) -> None:
        self._config = config

    def create_token(self, wanted: NewToken) -> IssuedToken:
        return self._with(lambda keeper: keeper.issue(wanted))

    def tokens(self, tenant: str | None = None) -> TokenList:
        return self._with(lambda keeper: keeper.all(tenant))

    def rotate_token(self, token_id: str, rotation: Rotation) -> IssuedToken:
        return self._with(lambda keeper: keeper.rotate(token_id, rotation))

    def revoke_token(self, token_id: str) -> None:
        self._with(lambda keeper: keeper.revoke(token_id))

    def _with(self, ask: Callable[[TokenKeeper], Awaitable[T]]) -> T:
        chosen, _ = settings(self._config)

        async def asked() -> T:
            clock = SystemClock()
            store = make_store(chosen.store, chosen.store_path, clock)
            await store.open()
            try:
                return await ask(TokenKeeper(store, clock))
            finally:
                await store.close()

        chosen.state_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return asyncio.run(asked())


class Desk:
    """Asks whoever keeps the tokens: the gateway at `url`, or else the store."""

    def __init__(self, url: str | None, config: Path | None) -> None:
        self._url, self._config = url, config

    def ask(self, question: Callable[[Any], T]) -> T:
        """Raises Failure."""
        with trouble_told():
            try:
                if self._url is None:
                    return question(StoreDesk(self._config))
                with Client(self._url) as gateway:
                    return question(gateway)
            except StoreUnsafe as unsafe:
                raise Failure([str(unsafe), _HINT]) from None
            except (ClientError, TunegateError, RequestError) as error:
                raise Failure(str(error)) from None


_HINT = "While a gateway holds the store, ask it: --url and an admin's token in TUNEGATE_TOKEN."


def seconds(text: str) -> float:
    """`90d`, `12h`, `30m`, `5s` or plain seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS_S else (text, "s")
    try:
        return float(number) * UNITS_S[unit]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time such as 12h or 90d") from None


@click.group(cls=Group)
@config_option
@click.option("--url", envvar="TUNEGATE_URL", help="Ask the gateway there (or TUNEGATE_URL), with an admin's token in TUNEGATE_TOKEN; else the store is opened.")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, config: Path | None, url: str | None) -> None:
    """Make, list, rotate and revoke tokens.

    Exit codes: 1, it can't be done; 2, the settings can't be used.
    """
    ctx.obj = Desk(url or None, config)


@command.command()
@click.argument("tenant")
@click.option("--label", default="", help="For people: whose it is, or what for.")
@click.option("--read-only", is_flag=True, help="May look, may not submit.")
@click.option("--admin", is_flag=True, help="May make and revoke tokens.")
@click.option("--uri-prefix", "uri_prefixes", multiple=True, metavar="URI", help="Data and results must lie below one of these; may stand several times.")  # fmt: skip
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="May use this backend; may stand several times.")  # fmt: skip
@click.option("--launcher", "launchers", multiple=True, metavar="NAME", help="May use this launcher; may stand several times.")  # fmt: skip
@click.option("--max-gpus", type=int, metavar="N", help="GPUs that its running jobs may hold.")
@click.option("--max-jobs", type=int, metavar="N", help="Unfinished jobs at once.")
@click.option("--expires-in", "expires_in_s", type=seconds, metavar="TIME", help="Such as 12h or 90d.")  # fmt: skip
@json_option
@click.pass_obj
def create(desk: Desk, as_json: bool, **given: Any) -> None:
    """Make a token for TENANT, whose jobs it may see and submit. It is shown this once."""
    checked = {name: value or None if isinstance(value, tuple) else value for name, value in given.items()}  # fmt: skip

    def issue(keeper: Any) -> IssuedToken:
        wanted = decode(NewToken, msgspec.json.encode(checked))  # checked as the API checks it
        issued: IssuedToken = keeper.create_token(wanted)
        return issued

    _show(desk.ask(issue), as_json=as_json)


@command.command("list")
@click.option("--tenant", metavar="NAME", help="Only this tenant's.")
@json_option
@click.pass_obj
def list_(desk: Desk, tenant: str | None, as_json: bool) -> None:
    """All tokens, oldest first."""
    found: TokenList = desk.ask(lambda keeper: keeper.tokens(tenant))
    if as_json:
        output.as_json(found)
        return
    rows = [(t.token_id, t.tenant, t.label, _may(t), _state(t), t.last_used_at or "-") for t in found.data]  # fmt: skip
    output.table(("ID", "TENANT", "LABEL", "MAY", "STATE", "LAST USED"), rows)


@command.command()
@click.argument("token_id")
@click.option("--overlap", type=seconds, metavar="TIME", default="1d", show_default=True, help="So long the old one works on.")  # fmt: skip
@json_option
@click.pass_obj
def rotate(desk: Desk, token_id: str, overlap: float, as_json: bool) -> None:
    """Make a new token with the same rights."""
    _show(desk.ask(lambda keeper: keeper.rotate_token(token_id, Rotation(overlap_s=overlap))), as_json=as_json)  # fmt: skip


@command.command()
@click.argument("token_id")
@json_option
@click.pass_obj
def revoke(desk: Desk, token_id: str, as_json: bool) -> None:
    """Shut a token out."""
    desk.ask(lambda keeper: keeper.revoke_token(token_id))
    if as_json:
        output.as_json({"token_id": token_id, "revoked": True})
    else:
        output.say(f"{token_id} is revoked")


def _show(issued: IssuedToken, *, as_json: bool) -> None:
    """The secret alone on standard output, so that it can be piped into a file."""
    if as_json:
        output.say(msgspec.json.encode(issued, enc_hook=reveal_hook).decode())
        return
    token = issued.token
    until = f", until {token.expires_at}" if token.expires_at else ""
    output.hint(f"{token.token_id} of tenant {token.tenant}{until}; shown this once:")
    output.say(issued.secret.reveal())


def _may(token: Token) -> str:
    scope = "read" if token.read_only else "submit"
    return f"{scope}, admin" if token.admin else scope


def _state(token: Token) -> str:
    if token.usable:
        return f"until {token.expires_at}" if token.expires_at else "usable"
    return "revoked" if token.revoked_at else "expired"
