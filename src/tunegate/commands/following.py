"""`tunegate watch`, `logs` and `events`."""

import sys
from collections.abc import Iterator

import click

from tunegate.client import Client
from tunegate.contract.job import JobEvent
from tunegate.terminal import output, watching
from tunegate.terminal.options import client, remote


@click.command()
@click.argument("job_id")
@remote
def watch(job_id: str, url: str | None, as_json: bool) -> int:
    """Follow a job's progress to its end; the exit code says how it ended."""
    with client(url, patient=True) as gateway:
        return watching.watch(gateway, job_id, as_json=as_json, url=url)


@click.command()
@click.argument("job_id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Start at this byte.")
@remote
def logs(job_id: str, follow: bool, offset: int, url: str | None, as_json: bool) -> None:
    """Print a job's log. With --json one object per piece of text."""
    with client(url, patient=follow) as gateway:
        for piece in gateway.logs(job_id, follow=follow, offset=offset):
            if as_json:
                output.as_json_line({"text": piece})
            else:
                sys.stdout.write(piece)
                sys.stdout.flush()


@click.command()
@click.argument("job_id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends.")
@click.option(
    "--after", type=click.IntRange(min=0), default=0, help="Only events with a higher number."
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these, such as job.status; may stand several times.")  # fmt: skip
@remote
def events(
    job_id: str, follow: bool, after: int, types: tuple[str, ...], url: str | None, as_json: bool
) -> None:
    """Print what happened to a job, oldest first. With --json one object per line."""
    with client(url, patient=follow) as gateway:
        found = (
            gateway.events(job_id, after=after) if follow else _past(gateway, job_id, after, types)
        )
        for event in found:
            if types and event.type not in types:
                continue
            if as_json:
                output.as_json_line(event)
            else:
                _show(event)


def _past(gateway: Client, job_id: str, after: int, types: tuple[str, ...]) -> Iterator[JobEvent]:
    while True:
        page = gateway.event_page(job_id, after=after, limit=1000, types=list(types) or None)
        yield from page.data
        if not page.has_more or not page.data:
            return
        after = page.data[-1].sequence


def _show(event: JobEvent) -> None:
    kind = event.type.removeprefix("job.")
    words = event.detail or event.phase
    line = f"{event.sequence:>5}  {event.timestamp[:19].replace('T', ' ')}  {kind:<10}  {words}"
    if output.is_terminal():
        style = {
            "status": output.STYLES.get(event.status, ""),
            "note": "yellow",
            "metrics": "dim",
            "progress": "dim",
        }
        output.console().print(
            output.clean(line), style=style.get(kind, ""), markup=False, soft_wrap=True
        )
    else:
        output.say(line)
        sys.stdout.flush()
