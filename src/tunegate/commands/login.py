"""`tunegate login` and `logout`."""

import sys

import click

from tunegate.terminal import output
from tunegate.terminal.options import json_option


@click.command()
@click.argument("url")
@click.option("--no-check", is_flag=True, help="Save without asking the gateway.")
@json_option
def login(url: str, no_check: bool, as_json: bool) -> None:
    """Save the gateway at URL, and a token, for later commands.

    The token is asked for, or read from standard input when that is no terminal: it never stands on a command line.
    """
    from tunegate.client import Client, profile

    url = profile.checked(url)
    if sys.stdin.isatty():
        token = click.prompt(
            "Token (empty for a gateway without)", hide_input=True, default="", show_default=False
        )
    else:
        token = sys.stdin.readline()
    token = token.strip() or None
    if not no_check:
        with Client(url, token) as gateway:
            gateway.list_jobs(limit=1)
    file = profile.profile_file()
    profile.save(file, url, token)
    if as_json:
        output.as_json({"url": url, "file": str(file)})
    else:
        output.say(f"saved in {file}; commands now ask {url}")


@click.command()
@json_option
def logout(as_json: bool) -> None:
    """Forget the saved address and token."""
    from tunegate.client.profile import profile_file

    file = profile_file()
    there = file.exists()
    file.unlink(missing_ok=True)
    if as_json:
        output.as_json({"file": str(file), "removed": there})
    else:
        output.say(f"removed {file}" if there else "nothing was saved")
