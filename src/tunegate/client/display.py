"""Progress where the user is: a cell of a notebook that is updated in place, else lines of text."""

import html
import sys
from importlib import import_module
from typing import Any, Protocol, TextIO

from tunegate.client.progress import JobView, duration, line

_COLOURS = {"succeeded": "#2e7d32", "failed": "#c62828", "cancelled": "#757575"}
_WIDTH, _HEIGHT = 280, 48


class Display(Protocol):
    """Shows one job."""

    def update(self, view: JobView) -> None:
        """The job has gone on."""
        ...

    def close(self, view: JobView) -> None:
        """The job is over."""
        ...


class TextDisplay:
    """A line whenever status, phase or a tenth of the steps have changed."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out, self._last = out or sys.stderr, ("", "", -1)

    def update(self, view: JobView) -> None:
        tenth = int(view.progress.percent // 10) if view.progress else -1
        now = (view.status, view.phase, tenth)
        if now != self._last and not view.over:
            self._last = now
            print(line(view), file=self._out, flush=True)

    def close(self, view: JobView) -> None:
        print(line(view), file=self._out, flush=True)


class Card:
    """A view as notebooks draw it; plain text for everybody else."""

    def __init__(self, view: JobView) -> None:
        self._view = view

    def __repr__(self) -> str:
        return line(self._view)

    def _repr_html_(self) -> str:
        view, p = self._view, self._view.progress
        colour = _COLOURS.get(view.status, "#1565c0")
        percent = 100.0 if view.status == "succeeded" else p.percent if p else 0.0
        facts = [f"step {p.step:,} / {p.total_steps:,}"] if p else []
        facts += [f"loss {p.loss:.4g}"] if p and p.loss is not None else []
        facts += [f"eval {p.eval_loss:.4g}"] if p and p.eval_loss is not None else []
        facts += [f"{p.tokens_per_s:,.0f} tokens/s"] if p and p.tokens_per_s else []
        facts += (
            [f"{duration(p.eta_s)} left"] if p and p.eta_s is not None and not view.over else []
        )
        trouble = (
            f"{view.error.code}: {view.error.message} {view.error.advice}" if view.error else ""
        )
        return (
            '<div style="font-family:sans-serif;max-width:46em">'
            f"<b>{html.escape(view.job_id)}</b> "
            f'<span style="color:{colour}">{html.escape(view.status)}</span> '
            f"{html.escape(view.phase if view.phase != view.status else '')}"
            f'<div role="progressbar" aria-valuenow="{percent:.0f}" aria-valuemin="0" aria-valuemax="100" '
            'style="background:#8883;border-radius:4px;height:8px;margin:4px 0">'
            f'<div style="width:{percent:.1f}%;background:{colour};height:8px;border-radius:4px"></div></div>'
            f"{html.escape('  ·  '.join(facts) or view.detail)}{_curve(view, colour)}"
            f"<div>{html.escape(trouble)}</div></div>"
        )


def _curve(view: JobView, colour: str) -> str:
    """The loss as a line, without axes."""
    if len(view.losses) < 2:
        return ""
    steps, losses = zip(*view.losses, strict=True)
    across = max(steps) - min(steps) or 1
    down = max(losses) - min(losses) or 1.0
    points = " ".join(
        f"{(step - min(steps)) / across * _WIDTH:.1f},{(max(losses) - loss) / down * _HEIGHT + 1:.1f}"
        for step, loss in view.losses
    )
    return (
        f'<br><svg width="{_WIDTH}" height="{_HEIGHT + 2}" role="img" aria-label="loss from {losses[0]:.4g} to '
        f'{losses[-1]:.4g}"><polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/></svg>'
    )


class NotebookDisplay:
    """One cell output, updated in place."""

    def __init__(self, show: Any) -> None:
        self._show, self._handle = show, None

    def update(self, view: JobView) -> None:
        if self._handle is None:
            self._handle = self._show(Card(view), display_id=True)
        else:
            self._handle.update(Card(view))

    def close(self, view: JobView) -> None:
        self.update(view)


def display_here() -> Display:
    """A notebook's display where code runs in one, else text. IPython is asked only if the program has it loaded."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return NotebookDisplay(import_module("IPython.display").display)
    return TextDisplay()
