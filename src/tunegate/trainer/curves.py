"""curves.svg: the course of the losses as a picture, drawn by hand so that no library is needed."""

import math
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[int, float]]

SVG = "http://www.w3.org/2000/svg"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 56, 16, 28, 36
COLOURS = {"loss": "#4477aa", "eval_loss": "#cc6677"}
TICKS = 5


def draw_curves(curves: Mapping[str, Points]) -> str:
    """An SVG of curves over steps. Those without a finite point are left out."""
    finite = {
        name: [(step, value) for step, value in points if math.isfinite(value)]
        for name, points in curves.items()
    }
    drawn = {name: points for name, points in finite.items() if points}
    values = [value for points in drawn.values() for _, value in points] or [0.0]
    steps = [step for points in drawn.values() for step, _ in points] or [0]
    axes = _Axes(min(steps), max(steps), min(values), max(values))
    parts = [
        f'<svg xmlns="{SVG}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *axes.grid(),
    ]
    for number, (name, points) in enumerate(drawn.items()):
        colour = COLOURS.get(name, "#117733")
        line = " ".join(f"{axes.x(step):.1f},{axes.y(value):.1f}" for step, value in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        if len(points) == 1:
            parts.append(f'<circle cx="{line.partition(",")[0]}" cy="{line.partition(",")[2]}" r="3" fill="{colour}"/>')  # fmt: skip
        parts.append(f'<text x="{LEFT + 90 * number}" y="16" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


class _Axes:
    """From steps and values to places in the picture."""

    def __init__(self, first: int, last: int, low: float, high: float) -> None:
        self._first, self._steps = first, max(last - first, 1)
        margin = 0.05 * (high - low) or 0.5
        self._low, self._span = low - margin, high - low + 2 * margin

    def x(self, step: float) -> float:
        return LEFT + (step - self._first) / self._steps * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self._low) / self._span * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> list[str]:
        parts: list[str] = []
        for tick in range(TICKS):
            value = self._low + self._span * tick / (TICKS - 1)
            step = self._first + self._steps * tick / (TICKS - 1)
            y, x = self.y(value), self.x(step)
            parts += [
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>',
                f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">{value:.4g}</text>',
                f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle" fill="#555555">{step:.0f}</text>',
            ]
        return [*parts, f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">step</text>']
