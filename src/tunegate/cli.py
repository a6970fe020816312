"""The command line. One file per command in `tunegate.commands`; each is imported only when it is called."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

COMMANDS = {
    "serve": "run the gateway",
    "config": "print every setting with its default, as TOML",
    "keys": "look at the keys that seal credentials, rotate and retire them",
    "token": "make, list, rotate and revoke tokens",
    "audit": "export the audit log, and find out whether anybody changed it",
    "db": "look at the job store, check it, bring its schema up to date",
}
"""Name to help text. `tunegate.commands.<name>` has `add_arguments(parser)` and `run(arguments) -> exit code`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="tunegate", description="One gateway for fine-tuning language models."
    )
    parser.add_argument("--version", action="version", version=f"tunegate {version('tunegate')}")
    chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        command = chosen.add_parser(name, help=help_text, description=help_text)
        if name in given[:1]:
            import_module(f"tunegate.commands.{name}").add_arguments(command)
    parsed = parser.parse_args(given)
    code: int = import_module(f"tunegate.commands.{parsed.command}").run(parsed)
    return code


if __name__ == "__main__":
    sys.exit(main())
