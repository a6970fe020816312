"""`tunegate config`: the documented defaults, a file to start from."""

import sys

import click


@click.command()
def command() -> None:
    """Print every setting with its default, as TOML."""
    from tunegate.docs.config import render_config

    sys.stdout.write(render_config())
