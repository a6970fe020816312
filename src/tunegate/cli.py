"""The command line. Commands live in `tunegate.commands` and each is imported only when it is called."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple

try:
    import click
except ModuleNotFoundError:  # the base installation, as plugins use it
    sys.exit("tunegate: the command line is an extra: pip install 'tunegate[cli]'")

from tunegate import __version__
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import report


class Entry(NamedTuple):
    """Where a command is defined (`module:attribute` below tunegate.commands), its part of the help, and its line there."""

    place: str
    section: str
    summary: str


JOBS, CHECK, OPERATE, SETUP = "Jobs", "Before submitting", "Running a gateway", "This machine"
COMMANDS = {
    "submit": Entry("submit:command", JOBS, "Submit a job from a JSON file."),
    "jobs": Entry("jobs:jobs", JOBS, "List jobs, newest first."),
    "show": Entry("jobs:show", JOBS, "Show one job."),
    "watch": Entry("following:watch", JOBS, "Follow a job's progress to its end."),
    "logs": Entry("following:logs", JOBS, "Print a job's log."),
    "events": Entry("following:events", JOBS, "Print what happened to a job."),
    "metrics": Entry("results:metrics", JOBS, "Print a job's numbers by step."),
    "artifacts": Entry("results:artifacts", JOBS, "List a job's results."),
    "checkpoints": Entry("results:checkpoints", JOBS, "List a job's checkpoints."),
    "cancel": Entry("changes:cancel", JOBS, "Stop jobs."),
    "retry": Entry("changes:retry", JOBS, "Let a failed or cancelled job go on."),
    "delete": Entry("changes:delete", JOBS, "Forget finished jobs; their artifacts stay."),
    "validate": Entry("validate:command", CHECK, "Check a job and its data without submitting it."),
    "render": Entry("render:command", CHECK, "Print what would run: container and engine request."),
    "backends": Entry("installed:backends", CHECK, "List the gateway's backends: what can run."),
    "launchers": Entry("installed:launchers", CHECK, "List the gateway's launchers: where jobs can run."),
    "serve": Entry("serve:command", OPERATE, "Run the gateway."),
    "token": Entry("token:command", OPERATE, "Make, list, rotate and revoke tokens."),
    "keys": Entry("keys:command", OPERATE, "Look at the keys that seal credentials, rotate and retire them."),
    "db": Entry("db:command", OPERATE, "Look at the job store, check it, bring its schema up to date."),
    "audit": Entry("audit:command", OPERATE, "Export the audit log, and find out whether anybody changed it."),
    "config": Entry("config:command", OPERATE, "Print every setting with its default, as TOML."),
    "plugins": Entry("installed:plugins", OPERATE, "List the plugins that are installed here."),
    "plugin": Entry("plugin:command", OPERATE, "Begin a plugin, and check that one keeps all rules."),
    "login": Entry("login:login", SETUP, "Save a gateway's address and a token for later commands."),
    "logout": Entry("login:logout", SETUP, "Forget the saved address and token."),
    "doctor": Entry("doctor:command", SETUP, "Find out what is wrong here, and what to do."),
    "demo": Entry("demo:command", SETUP, "Train real jobs at small scale on this machine and show the results."),
    "completion": Entry("completion:command", SETUP, "Print the completion script of a shell."),
}  # fmt: skip


class ReaderGone(Exception):
    """Who reads our output, such as `head`, has what it wanted. Not an OSError: click has its own idea of those."""


class Commands(click.Group):
    """The commands of the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        found: click.Command = getattr(import_module(f"tunegate.commands.{module}"), attribute)
        return found

    def invoke(self, ctx: click.Context) -> object:
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ReaderGone from None
        return done

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = get_close_matches(args[0], COMMANDS, 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(n, e.summary) for n, e in COMMANDS.items() if e.section == section]
                )


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="tunegate", message="%(prog)s %(version)s")
def cli() -> None:
    """One gateway for fine-tuning language models.

    Commands that ask a gateway find it by --url, TUNEGATE_URL or `tunegate login`, and their token in TUNEGATE_TOKEN
    or there. Exit codes are listed in docs/CLI.md.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(given, prog_name="tunegate", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except ReaderGone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001  what is not known is raised again
        return report(error, as_json="--json" in given)
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
