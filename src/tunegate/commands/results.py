"""`tunegate metrics`, `artifacts` and `checkpoints`."""

import click

from tunegate.terminal import output
from tunegate.terminal.options import client, remote


@click.command()
@click.argument("job_id")
@click.option(
    "--name",
    "names",
    multiple=True,
    help="Only these numbers, such as loss; may stand several times.",
)
@remote
def metrics(job_id: str, names: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Print a job's numbers by step."""
    with client(url) as gateway:
        series = gateway.metrics(job_id)
    if as_json:
        output.as_json(series)
        return
    known = names or tuple(dict.fromkeys(name for point in series.data for name in point.values))
    rows = [
        (
            str(point.step),
            str(point.attempt),
            *(f"{point.values[name]:.6g}" if name in point.values else "" for name in known),
        )
        for point in series.data
        if any(name in point.values for name in known)
    ]
    output.table(("STEP", "ATTEMPT", *known), rows)


@click.command()
@click.argument("job_id")
@click.option("--links", is_flag=True, help="Print links to download instead of addresses.")
@remote
def artifacts(job_id: str, links: bool, url: str | None, as_json: bool) -> None:
    """List a job's results."""
    with client(url) as gateway:
        found = gateway.artifacts(job_id)
    if as_json:
        output.as_json(found)
        return
    rows = [
        (
            f.path,
            output.size(f.size_bytes),
            (f.sha256 or "")[:12],
            (f.url if links else None) or f.uri,
        )
        for f in found.data
    ]
    output.table(("ARTIFACT", "SIZE", "SHA256", "LINK" if links else "URI"), rows)
    if not found.complete:
        output.hint("no verified manifest yet: these files are not the whole result")


@click.command()
@click.argument("job_id")
@remote
def checkpoints(job_id: str, url: str | None, as_json: bool) -> None:
    """List a job's checkpoints."""
    with client(url) as gateway:
        found = gateway.checkpoints(job_id)
    if as_json:
        output.as_json(found)
        return
    rows = [(str(c.step), output.size(c.size_bytes), c.timestamp, c.uri) for c in found.data]
    output.table(("STEP", "SIZE", "WHEN", "URI"), rows)
