"""Options that many commands have."""

import os
from collections.abc import Callable
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
    """Lists its commands in the order of the file."""

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
    """A gateway's own settings. Raises Failure."""
    from tunegate.settings import SettingsError, load
    from tunegate.terminal.exits import ExitCode
    from tunegate.terminal.failures import Failure

    try:
        return load(config, os.environ)
    except SettingsError as error:
        raise Failure(error.problems, ExitCode.USAGE) from None
