"""`tunegate completion`: the script that makes a shell complete commands, options and files."""

import click
from click.shell_completion import get_completion_class

from tunegate.terminal import output

WHERE = {
    "bash": 'eval "$(tunegate completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(tunegate completion zsh)"    # in ~/.zshrc, after compinit',
    "fish": "tunegate completion fish > ~/.config/fish/completions/tunegate.fish",
}


@click.command(epilog="\b\n" + "\n".join(WHERE.values()))
@click.argument("shell", type=click.Choice(list(WHERE)))
def command(shell: str) -> None:
    """Print the completion script of a shell."""
    from tunegate.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  click has all three
    output.say(kind(cli, {}, "tunegate", "_TUNEGATE_COMPLETE").source())
