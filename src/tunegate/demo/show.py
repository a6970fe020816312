"""What the demo prints. One function per moment of the story."""

import sys
from pathlib import Path
from shutil import which

from rich.console import Console
from rich.table import Table

from tunegate.contract.job import Job, JobEvent, MetricPoint, StoredFile
from tunegate.demo.domain import Payment
from tunegate.demo.jobs import Lesson, Places
from tunegate.sdk.testing.receiver import Received

console = Console(highlight=False, soft_wrap=True)


def title() -> None:
    console.print(
        "[bold]tunegate demo[/bold]: full fine-tuning, then lora and qlora on top of it, on this machine\n"
    )


def ready(gateway_url: str, seconds: float, s3_url: str, webhook_url: str) -> None:
    console.print(f"gateway   {gateway_url}  (ready after {seconds:.1f} s)")
    console.print(f"S3 server {s3_url}")
    console.print(f"webhooks  {webhook_url}")


def prepared(places: Places) -> None:
    console.print(f"uploaded  base model and data sets to {places.project}\n")


def accepted(job: Job, seconds: float) -> None:
    console.print(
        f"[bold cyan]{job.job_id}[/bold cyan] accepted after {seconds * 1000:.0f} ms "
        f"by backend {job.backend}, launcher {job.launcher}"
    )
    for entry in job.ignored:
        console.print(f"  [dim]ignored {entry.path}: {entry.reason}[/dim]")


def event(one: JobEvent) -> None:
    if one.type == "job.metrics":
        return
    style = {"job.progress": "dim", "job.note": "yellow", "job.status": "bold"}.get(one.type, "")
    console.print(f"  {one.timestamp[11:19]} {one.type[4:]:<10} {one.detail}", style=style)


def ended(job: Job, seconds: float) -> None:
    console.print(f"  {job.status} after {seconds:.1f} s: {job.detail}\n")


def result(
    lesson: Lesson,
    metrics: list[MetricPoint],
    artifacts: list[StoredFile],
    probe: Payment,
    before: str,
    after: str,
) -> None:
    """Losses on held-out rows, the answer to a payment that is in no data set, and the files."""
    losses = [point.values["eval_loss"] for point in metrics if "eval_loss" in point.values]
    console.rule(f"[bold]{lesson.job_id}[/bold]", align="left")
    console.print(f"loss on held-out rows   {losses[0]:.3f} → {losses[-1]:.3f}")
    console.print(f"asked    {probe.question()}")
    console.print(f"before   {before.strip()!r}")
    console.print(f"after    [green]{after.strip()!r}[/green]")
    console.print(f"taught   {probe.answer('plain' if lesson.data == 'payments' else 'desk')!r}")
    table = Table("artifact", "bytes", "sha256", box=None, padding=(0, 2, 0, 0))
    for file in artifacts:
        table.add_row(file.path, f"{file.size_bytes:,}", (file.sha256 or "")[:16])
    console.print(table)


def webhooks(received: list[Received]) -> None:
    for one in received:
        console.print(f"webhook  {one.body.status:<10} {one.body.log}")
    console.print()


def places(bucket: Places, home: Path, gateway_url: str) -> None:
    """Where everything lies; the servers end with the demo, the files stay."""
    program = "tunegate" if which("tunegate") else sys.argv[0]
    console.rule("[bold]where to look[/bold]", align="left")
    console.print(f"results        {home / 'results'} (fetched from {bucket.results})")
    console.print(f"gateway's log  {home / 'gateway.log'}")
    console.print(f"configuration  {home / 'gateway.toml'}")
    console.print(f"dashboard      {program} serve --config {home / 'gateway.toml'}")
    console.print(f"               then {gateway_url}/ui, and {gateway_url}/schema for the API")


def wait_for_enter(gateway_url: str, token: str) -> None:
    """On a terminal the gateway stays until its user has looked around."""
    console.print(f"\nThe demo's gateway still runs: {gateway_url}/ui, token {token}")
    console.input("Press Enter to stop it. ")
