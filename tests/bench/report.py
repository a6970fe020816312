"""One JSON file and one table per bench."""

import json
import os
import platform
from pathlib import Path
from statistics import median

BUILD = Path(__file__).parents[2] / "build" / "bench"


def machine() -> dict[str, object]:
    """What the figures depend on."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of every figure over the rounds."""
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


def write(
    name: str, figures: dict[str, float], ratios: dict[str, float], goals: dict[str, float]
) -> None:
    """Write build/bench/<name>.json and print the same as a table."""
    BUILD.mkdir(parents=True, exist_ok=True)
    result = {"figures": figures, "ratios": ratios, "goals": goals, "machine": machine()}
    (BUILD / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    width = max(len(key) for key in (*figures, *ratios))
    goal = {key: f"   (goal {goals[key]:g})" if key in goals else "" for key in figures | ratios}
    for key, value in figures.items():
        print(f"{key:<{width}}  {value:>12.3f}{goal[key]}")
    for key, value in ratios.items():
        print(f"{key:<{width}}  {value:>11.2f}x{goal[key]}")
