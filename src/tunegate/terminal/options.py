"""Options that many commands have."""

import os
from collections.abc import Callable
from copy import copy
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tunegate.client import Client
    from tunegate.settings import Settings, Tokens

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="TUNEGATE_CONFIG",
    help="The gateway's settings, TOML (or TUNEGATE_CONFIG).",
)
set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a value first, such as customization.rank=8 or datasets[0].source=s3://…; JSON or plain text.",
)
backend_option = click.option("--backend", metavar="NAME", help="Pin the backend.")
url_option = click.option(
    "--url",
    metavar="URL",
    help="The gateway (or TUNEGATE_URL, or what `tunegate login` saved); the token is in TUNEGATE_TOKEN.",
)


class Group(click.Group):
    """Lists its commands in the order of the file, and takes its own options after them too: `keys rotate --config FILE`."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        for option in self._own:
            told = copy(option)  # for the help: parse_args has taken the value before
            told.expose_value = False
            cmd.params.append(told)
        super().add_command(cmd, name)

    @property
    def _own(self) -> list[click.Option]:
        return [param for param in self.params if isinstance(param, click.Option)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {name for option in self._own for name in option.opts}
        first: list[str] = []
        rest: list[str] = []
        coming = iter(args)
        for word in coming:
            if word == "--":
                rest += [word, *coming]
            elif word in own:
                given = [word, *islice(coming, 1)]
                (first if len(given) == 2 else rest).extend(given)
            else:
                (first if word.partition("=")[0] in own else rest).append(word)
        return super().parse_args(ctx, first + rest)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(self.commands)


def remote(function: Decorated) -> Decorated:
    """For commands that ask a gateway."""
    return json_option(url_option(function))


def client(url: str | None, *, patient: bool = False) -> "Client":
    """A client of the chosen gateway. A patient one waits some minutes for a gateway that is started again."""
    from tunegate.client import Client, Retrying

    return Client(url, retrying=Retrying(tries=25 if patient else 3))


def settings(config: Path | None) -> "tuple[Settings, Tokens]":
    """A gateway's own settings, for work on its files and database. Raises Failure."""
    from tunegate.settings import SettingsError, load
    from tunegate.terminal.exits import ExitCode
    from tunegate.terminal.failures import Failure

    try:
        return load(config, os.environ, to_serve=False)
    except SettingsError as error:
        raise Failure(error.problems, ExitCode.USAGE) from None
