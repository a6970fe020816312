"""`tunegate config`: the documented defaults, a file to start from."""

import argparse
import sys

from tunegate.docs.config import render_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_arguments: argparse.Namespace) -> int:
    """Print them."""
    sys.stdout.write(render_config())
    return 0
