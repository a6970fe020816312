"""A job's progress on a terminal: a bar, the loss, the time left; then what came of it."""

import sys
from typing import Any

import msgspec

from tunegate.client import Client, JobView
from tunegate.client.display import Display, TextDisplay
from tunegate.client.progress import duration
from tunegate.contract.job import TERMINAL, Job, StoredFile
from tunegate.terminal import output
from tunegate.terminal.exits import ExitCode, of_status


class BarDisplay:
    """Rich's bar, redrawn in place on standard error, with phases above it as they come."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[phase]}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task = self._bar.add_task("", total=100, phase="", facts="")
        self._told = ""
        self._bar.start()

    def update(self, view: JobView) -> None:
        p = view.progress
        told = view.phase if view.over else f"{view.phase}: {view.detail}"
        if view.phase != self._told.partition(":")[0]:
            self._told = told
            self._bar.console.print(output.clean(told), style="dim", markup=False)
        facts = "  ".join(_facts(view)) if p else output.clean(view.detail)
        percent = p.percent if p else 0.0
        self._bar.update(self._task, completed=percent, phase=view.phase, facts=facts)

    def close(self, view: JobView) -> None:  # noqa: ARG002  what came of it is shown apart
        self.stop()

    def stop(self) -> None:
        """Take the bar away and give the cursor back."""
        self._bar.stop()


class NoDisplay:
    """For programs: the answer is all they want."""

    def update(self, view: JobView) -> None:
        """Nothing to show."""

    def close(self, view: JobView) -> None:
        """Nothing to show."""


def watch(gateway: Client, job_id: str, *, as_json: bool, url: str | None = None) -> int:
    """Follow the job to its end and show its results; the exit code says how it ended.

    Ctrl-C ends the watching, not the job. `url` is what was given on the command line, to be said again.
    """
    display = _display(as_json=as_json)
    try:
        job = gateway.get(job_id)
        if job.status not in TERMINAL:
            job = _follow(gateway, job_id, display)
    except KeyboardInterrupt:
        _stop(display)
        where = f" --url {url}" if url else ""
        output.hint(f"\n{job_id} goes on without you. Come back: tunegate watch {job_id}{where}")
        output.hint(f"Stop it: tunegate cancel {job_id}{where}")
        return ExitCode.INTERRUPTED
    finally:
        _stop(display)
    files = gateway.artifacts(job_id).data if job.status == "succeeded" else []
    _show(job, files, as_json=as_json)
    return of_status(job.status)


def _follow(gateway: Client, job_id: str, display: Display) -> Job:
    """All that has happened is shown first, quickly, so that who comes back sees the whole story."""
    view = JobView(job_id=job_id, status="queued", phase="", detail="")
    for event in gateway.events(job_id):
        view = view.after(event)
        display.update(view)
    job = gateway.get(job_id)
    display.close(JobView.of(job))
    return job


def _display(*, as_json: bool) -> Display:
    if as_json:
        return NoDisplay()
    return BarDisplay() if sys.stderr.isatty() else TextDisplay()


def _stop(display: Display) -> None:
    if isinstance(display, BarDisplay):
        display.stop()


def _facts(view: JobView) -> list[str]:
    p = view.progress
    if p is None:
        return []
    facts = [f"step {p.step:,}/{p.total_steps:,}"]
    facts += [f"loss {p.loss:.4g}"] if p.loss is not None else []
    facts += [f"{p.tokens_per_s:,.0f} tokens/s"] if p.tokens_per_s else []
    facts += [f"{duration(p.eta_s)} left"] if p.eta_s is not None else []
    return facts


def _show(job: Job, files: list[StoredFile], *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = msgspec.to_builtins(job)
        output.as_json(told | {"artifacts": files})
        return
    p, error = job.progress, job.error
    loss = f"{p.loss:.4g}" if p and p.loss is not None else ""
    held_out = f", on held-out data {p.eval_loss:.4g}" if p and p.eval_loss is not None else ""
    output.facts(
        [
            ("job", job.job_id),
            ("status", job.status),
            ("detail", job.detail if error is None else ""),
            ("error", f"{error.code}: {error.message}" if error else ""),
            ("advice", error.advice if error else ""),
            ("loss", loss + held_out),
            ("output", job.output_uri if files else ""),
        ]
    )
    if files:
        output.say("")
        output.table(("ARTIFACT", "SIZE"), [(f.path, output.size(f.size_bytes)) for f in files])
    if error is not None:
        more = f", `tunegate retry {job.job_id}` lets it go on" if error.retryable else ""
        output.hint(f"`tunegate logs {job.job_id}` shows its log{more}")
