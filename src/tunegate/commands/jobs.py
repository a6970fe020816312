"""`tunegate jobs` and `tunegate show`."""

from datetime import UTC, datetime

import click

from tunegate.contract.job import Job
from tunegate.terminal import output
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure
from tunegate.terminal.options import client, remote

STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="Only jobs in this status.")
@click.option("--backend", metavar="NAME", help="Only jobs of this backend.")
@click.option("--metadata", "pairs", multiple=True, metavar="KEY=VALUE", help="Only jobs with this pair; may stand several times.")  # fmt: skip
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="At most so many.",
)
@click.option("--all", "everything", is_flag=True, help="All of them, whatever --limit says.")
@remote
def jobs(
    status: str | None,
    backend: str | None,
    pairs: tuple[str, ...],
    limit: int,
    everything: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """List jobs, newest first."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise Failure(f"--metadata {wrong[0]}: write key=value", ExitCode.USAGE)
    metadata = dict(pair.split("=", 1) for pair in pairs)
    with client(url) as gateway:
        found = list(
            gateway.jobs(
                status=status,
                backend=backend,
                metadata=metadata,
                limit=None if everything else limit,
            )
        )
    if as_json:
        output.as_json({"data": found})
    elif found:
        output.table(
            ("JOB", "STATUS", "PHASE", "PROGRESS", "LOSS", "BACKEND", "LAUNCHER", "AGE"),
            [_row(job) for job in found],
        )
    else:
        output.hint("no jobs")


@click.command()
@click.argument("job_id")
@remote
def show(job_id: str, url: str | None, as_json: bool) -> None:
    """Show one job."""
    with client(url) as gateway:
        job = gateway.get(job_id)
    if as_json:
        output.as_json(job)
        return
    p, e = job.progress, job.error
    queue = f"about place {job.queue_position}" if job.queue_position else ""
    output.facts(
        [
            ("job", job.job_id),
            ("status", job.status),
            ("phase", job.phase if job.phase != job.status else ""),
            ("detail", job.detail),
            ("queue", " ".join(filter(None, (queue, job.queue_reason)))),
            ("error", f"{e.code} ({e.origin}): {e.message}" if e else ""),
            ("advice", e.advice if e else ""),
            (
                "progress",
                f"{p.percent:g}%, step {p.step:,} of {p.total_steps:,}, epoch {p.epoch:.3g}"
                if p
                else "",
            ),
            ("loss", _losses(job)),
            ("speed", f"{p.tokens_per_s:,.0f} tokens/s" if p and p.tokens_per_s else ""),
            ("backend", job.backend),
            ("launcher", job.launcher),
            ("attempt", str(job.attempt) if job.attempt else ""),
            ("created", job.created_at),
            ("updated", job.updated_at),
            ("output", job.output_uri),
            ("log", job.log_uri or ""),
            ("dashboard", job.dashboard_url or ""),
            ("metadata", ", ".join(f"{k}={v}" for k, v in job.metadata.items())),
            *(("note", note) for note in job.notes),
            *(("ignored", f"{each.path}: {each.reason}") for each in job.ignored),
        ]
    )


def _row(job: Job) -> tuple[str, ...]:
    p = job.progress
    return (
        job.job_id,
        job.status,
        job.phase,
        f"{p.percent:.0f}%" if p else "-",
        f"{p.loss:.4g}" if p and p.loss is not None else "-",
        job.backend,
        job.launcher,
        age(job.created_at),
    )


def _losses(job: Job) -> str:
    p = job.progress
    if p is None or p.loss is None:
        return ""
    return f"{p.loss:.4g}" + (
        f", on held-out data {p.eval_loss:.4g}" if p.eval_loss is not None else ""
    )


def age(moment: str) -> str:
    """How long ago, in its largest unit."""
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"
