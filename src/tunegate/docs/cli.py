"""docs/CLI.md: every command with its arguments and options, and the exit codes, from the commands themselves."""

import inspect
from collections.abc import Iterator
from typing import cast

import click

from tunegate.cli import COMMANDS, cli
from tunegate.terminal.exits import ExitCode

_HEAD = """\
# The command line

Written from the code by `python -m tunegate.docs`. `pip install 'tunegate[cli]'` is enough for a gateway elsewhere;
`tunegate[gateway]` brings it along.

```sh
tunegate login https://tunegate.example.com    # asks for the token
tunegate validate job.json                     # the request and its data, without a gateway
tunegate submit job.json --set tuning_parameters.num_epochs=2 --watch
tunegate jobs --status running
tunegate logs -f my-first-job
```

## Which gateway

Commands that ask a gateway take its address from `--url`, else from `TUNEGATE_URL`, else from what `tunegate login` saved
(`~/.config/tunegate/gateway.json`, readable by its owner alone), else `http://127.0.0.1:8080`. The token comes from
`TUNEGATE_TOKEN`, or from that file where the address is the saved one. There is no option for it: command lines can be
read by everybody on a machine.

Commands for operators work on the settings of `--config FILE` (or `TUNEGATE_CONFIG`) and `TUNEGATE_…` variables, with no gateway
running or beside one.

## What is printed

Tables, colours and a progress bar on a terminal, plain text in a pipe or with `NO_COLOR`. With `--json` one JSON value on standard output
(`logs` and `events`: one per line), and an error as `{"error": {…}, "exit_code": N}` on standard error. A reader that closes the pipe early,
such as `head`, is fine. Ctrl-C during `--watch` leaves the job running and says how to come back.

## Exit codes

| Code | Meaning |
| --- | --- |
"""
_AFTER_CODES = """
The commands for operators (`token`, `keys`, `db`, `audit`, `serve`) end with 0, 1 or 2.

"""


def render_cli() -> str:
    """The whole page."""
    codes = [f"| {int(code)} | {code.meaning} |" for code in ExitCode]
    lines = [_HEAD + "\n".join(codes), _AFTER_CODES.rstrip()]
    with click.Context(cli, info_name="tunegate") as context:
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            lines += ["", f"## {section}"]
            for name in (name for name, entry in COMMANDS.items() if entry.section == section):
                command = cli.get_command(context, name)
                if command is not None:
                    lines += _command(command, context, name)
    return "\n".join(lines) + "\n"


def _command(
    command: click.Command, above: click.Context, name: str, level: str = "###"
) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=above) as context:
        usage = " ".join(command.collect_usage_pieces(context))
        yield from ("", f"{level} `{context.command_path} {usage}`", "")
        yield _paragraphs(command.help or "")
        if command.epilog:
            yield from ("", "```sh", _paragraphs(command.epilog), "```")
        yield from _options(command)
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                yield from _command(command.commands[below], context, below, level + "#")


def _options(command: click.Command) -> Iterator[str]:
    options = [cast("click.Option", each) for each in command.params if each.param_type_name == "option"]  # fmt: skip
    if options:
        yield from ("", "| Option | |", "| --- | --- |")
    for option in options:
        value = "" if option.is_flag else f" {_metavar(option)}"
        names = ", ".join(f"`{name}{value}`" for name in option.opts)
        default = f" (default {option.default})" if option.show_default else ""
        yield f"| {names} | {_cell(option.help or '')}{default} |"


def _metavar(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "{" + ",".join(map(str, option.type.choices)) + "}"
    return option.type.name.upper().replace("INTEGER RANGE", "N").replace("INTEGER", "N")


def _paragraphs(text: str) -> str:
    """Without click's mark for lines that stay as they are."""
    return inspect.cleandoc(text).replace("\b\n", "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
